using Microsoft.ML.Data;

namespace Microsoft.ML.Attention.Vision;

/// <summary>Measures detections that are in a data view beside the truth.</summary>
internal static class DetectionEvaluator
{
    /// <summary>Measures detections.</summary>
    /// <exception cref="ArgumentException">A column is missing or of another type.</exception>
    public static DetectionMetrics Evaluate(IDataView data, DetectionColumns columns, AnnotationColumns truth)
    {
        var ignored = truth.Ignored is { } name && data.Schema.GetColumnOrNull(name) is { } column ? column : (DataViewSchema.Column?)null;
        DataViewSchema.Column[] needed =
        [
            Column(truth.Boxes), Column(truth.Labels), Column(columns.Boxes), Column(columns.Scores), Column(columns.Classes),
            .. ignored is { } flags ? [flags] : Array.Empty<DataViewSchema.Column>(),
        ];
        using var cursor = data.GetRowCursor(needed);
        var (trueBoxes, boxes, scores) = (Getter<float>(needed[0]), Getter<float>(needed[2]), Getter<float>(needed[3]));
        var (trueLabels, labels) = (LabelColumn.CreateGetter(cursor, needed[1]), LabelColumn.CreateGetter(cursor, needed[4]));
        var isIgnored = ignored is { } flagColumn ? Getter<bool>(flagColumn) : () => [];
        var metrics = new AveragePrecision();
        while (cursor.MoveNext())
        {
            var (truthHere, labelsHere, ignoredHere) = (Boxes(trueBoxes()), trueLabels(), isIgnored());
            var (found, foundLabels, foundScores) = (Boxes(boxes()), labels(), scores());
            metrics.Add(
                truthHere.Select((box, i) =>
                    new TrueBox(box, labelsHere[i] ?? "", i < ignoredHere.Length && ignoredHere[i])),
                found.Select((box, i) => new DetectedBox(box, foundLabels[i] ?? "", foundScores[i])));
        }
        return metrics.Measure();

        DataViewSchema.Column Column(string name) => data.Schema.GetColumnOrNull(name) ?? throw new ArgumentException(
            $"There is no column '{name}'; the data has {string.Join(", ", data.Schema.Select(known => $"'{known.Name}'"))}.",
            nameof(data));

        Func<T[]> Getter<T>(DataViewSchema.Column from)
        {
            var getter = cursor.GetGetter<VBuffer<T>>(from);
            VBuffer<T> buffer = default;
            return () =>
            {
                getter(ref buffer);
                return [.. buffer.DenseValues()];
            };
        }
    }

    /// <summary>Four numbers a box.</summary>
    public static CornerBox[] Boxes(float[] sides) =>
        [.. sides.Chunk(4).Select(box => new CornerBox(box[0], box[1], box[2], box[3]))];
}
