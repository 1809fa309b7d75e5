using Microsoft.ML.Data;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Attention;

/// <summary>The series of a data set with their labels, in memory.</summary>
/// <param name="Series">The measurements.</param>
/// <param name="Labels">The label of each.</param>
internal sealed record SeriesSamples(IReadOnlyList<SeriesValues> Series, IReadOnlyList<float[]> Labels)
{
    public int Count => Series.Count;

    /// <summary>
    /// Reads series. Those without a label are left out, and so are those that cannot be encoded, unless
    /// <see cref="BadInput.Throw"/> is asked for; a warning tells how many.
    /// </summary>
    public static SeriesSamples Read(
        IDataView data, SeriesColumns columns, TemporalTask task, SeriesEncoder encoder, BadInput badInput, IChannel channel,
        CancellationToken cancellation)
    {
        var label = data.Schema[task.Columns.Label];
        using var cursor = data.GetRowCursor([.. columns.Indices.Select(index => data.Schema[index]), label]);
        var reader = new SeriesReader(cursor, columns, capacity: 1);
        var readLabel = task.CreateReader(cursor, label);
        var (series, labels, encoded) = (new List<SeriesValues>(), new List<float[]>(), new float[encoder.Length]);
        var (unlabelled, bad) = (0, 0);
        while (cursor.MoveNext())
        {
            cancellation.ThrowIfCancellationRequested();
            var answer = readLabel();
            if (Array.Exists(answer, float.IsNaN))
            {
                unlabelled++;
                continue;
            }
            reader.Read(0);
            var (times, values) = (reader.Times(0).ToArray(), reader.Values(0).ToArray());
            try
            {
                encoder.Encode(times, values, encoded);
            }
            catch (InvalidDataException e) when (badInput == BadInput.ScoreAsMissing)
            {
                channel.Warning($"row {cursor.Position}: {e.Message}");
                bad++;
                continue;
            }
            catch (InvalidDataException e)
            {
                throw new InvalidDataException(
                    $"row {cursor.Position}: {e.Message} (set BadInput to ScoreAsMissing to train without such rows)", e);
            }
            series.Add(new(times, values));
            labels.Add(answer);
        }
        if (unlabelled + bad > 0)
            channel.Warning($"{unlabelled} series without a label and {bad} that could not be read are left out.");
        return new(series, labels);
    }
}
