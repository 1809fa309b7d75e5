using Microsoft.ML.Data;

namespace Microsoft.ML.Attention;

/// <summary>
/// Checks explanations by taking variables away, as if they had never been measured: those that are said to raise the score most, and as
/// many others by chance. Explanations are faithful if the score falls more for the former.
/// </summary>
/// <param name="SeriesCount">The series that were checked.</param>
/// <param name="FallWithoutTop">How far the explained output falls, on average, without the variables that raise it most.</param>
/// <param name="FallWithoutRandom">How far it falls without as many of the measured variables, drawn at random.</param>
public sealed record OcclusionCheck(int SeriesCount, double FallWithoutTop, double FallWithoutRandom)
{
    /// <summary>Checks a model with one output: of yes or no, or of an amount.</summary>
    /// <param name="model">The model.</param>
    /// <param name="explanation">Its explanations.</param>
    /// <param name="data">The series.</param>
    /// <param name="variableCount">The variables that are taken away of each.</param>
    /// <param name="seed">Tells the random ones.</param>
    /// <exception cref="ArgumentException">The model has several outputs.</exception>
    public static OcclusionCheck Run(
        TemporalAttentionTransformer model, TemporalContributionTransformer explanation, IDataView data, int variableCount, int seed = 1)
    {
        if (model.Task.OutputCount != 1)
            throw new ArgumentException($"The model has {model.Task.OutputCount} outputs; models of one can be checked.", nameof(model));
        var (width, random) = (model.Variables.Count, new Random(seed));
        var columns = SeriesColumns.Bind(data.Schema, model.Columns);
        var times = columns.Times is { } column ? data.GetColumn<float[]>(column).ToArray() : null;
        var contributions = explanation.Transform(data).GetColumn<float[]>("Contributions");
        var encoded = new List<float[]>();
        foreach (var ((series, contribution), i) in data.GetColumn<float[]>(columns.Series).Zip(contributions).Select((pair, i) => (pair, i)))
        {
            if (Array.Exists(contribution, float.IsNaN))
                continue;
            var sums = Enumerable.Range(0, width).Select(v => SumOf(contribution, v, width)).ToArray();
            var top = Enumerable.Range(0, width).OrderByDescending(v => sums[v]).Take(variableCount);
            var measured = Enumerable.Range(0, width).Where(v => !float.IsNaN(MaximumOf(series, v, width))).ToArray();
            random.Shuffle(measured);
            encoded.AddRange([Encode(series, []), Encode(series, top), Encode(series, measured.Take(variableCount))]);

            float[] Encode(float[] values, IEnumerable<int> removed)
            {
                var rest = (float[])values.Clone();
                foreach (var variable in removed)
                {
                    for (var j = variable; j < rest.Length; j += width)
                        rest[j] = float.NaN;
                }
                var input = new float[model.Encoder.Length];
                model.Encoder.Encode(times?[i] ?? [], rest, input);
                return input;
            }
        }
        var logits = EncodedSeries.Score(model.Session, encoded, model.Encoder, model.Scoring.BatchSize);
        var count = encoded.Count / 3;
        return new(count, Fall(1), Fall(2));

        double Fall(int which) => Enumerable.Range(0, count).Sum(i => (double)logits[3 * i] - logits[(3 * i) + which]) / Math.Max(1, count);
    }

    private static double SumOf(float[] values, int first, int stride)
    {
        double sum = 0;
        for (var i = first; i < values.Length; i += stride)
            sum += values[i];
        return sum;
    }

    private static float MaximumOf(float[] values, int first, int stride)
    {
        var largest = float.NaN;
        for (var i = first; i < values.Length; i += stride)
            largest = float.IsNaN(largest) ? values[i] : Math.Max(largest, float.IsNaN(values[i]) ? largest : values[i]);
        return largest;
    }
}
