using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.Attention;

/// <summary>Series as a model reads them, with their targets.</summary>
/// <param name="Inputs"><c>[bins, columns]</c> of each series.</param>
/// <param name="Targets">The target of each series.</param>
internal sealed record EncodedSeries(float[][] Inputs, float[][] Targets)
{
    public int Count => Inputs.Length;

    public static EncodedSeries Of(SeriesSamples samples, SeriesEncoder encoder, TemporalTask task)
    {
        var inputs = new float[samples.Count][];
        Parallel.For(0, samples.Count, i =>
        {
            inputs[i] = new float[encoder.Length];
            encoder.Encode(samples.Series[i].Times, samples.Series[i].Values, inputs[i]);
        });
        var targets = new float[samples.Count][];
        for (var i = 0; i < targets.Length; i++)
            task.Target(samples.Labels[i], targets[i] = new float[task.TargetCount]);
        return new(inputs, targets);
    }

    /// <summary>The logits of encoded series, one row after the other.</summary>
    public static float[] Score(
        OnnxSession session, IReadOnlyList<float[]> inputs, SeriesEncoder encoder, int batchSize, CancellationToken cancellation = default)
    {
        using var run = new RunOptions();
        var logits = new List<float>();
        foreach (var batch in inputs.Chunk(batchSize))
        {
            float[] joined = [.. batch.SelectMany(input => input)];
            using var x = OrtValue.CreateTensorValueFromMemory(
                joined, [batch.Length, encoder.Preprocessing.BinCount, encoder.ColumnCount]);
            using var outputs = session.Run(run, ["x"], [x], [TemporalTask.Logits], cancellation);
            logits.AddRange(outputs[0].GetTensorDataAsSpan<float>());
        }
        return [.. logits];
    }

    /// <summary>Copies series and their targets next to each other.</summary>
    public void CopyTo(ReadOnlySpan<int> samples, Span<float> inputs, Span<float> targets)
    {
        for (var i = 0; i < samples.Length; i++)
        {
            var (input, target) = (Inputs[samples[i]], Targets[samples[i]]);
            input.CopyTo(inputs[(i * input.Length)..]);
            target.CopyTo(targets[(i * target.Length)..]);
        }
    }

    /// <summary>
    /// Cuts the series at random into those to learn from and a share to measure on, which has its part of each target where targets are
    /// few.
    /// </summary>
    public (int[] Train, int[] Validation) Split(double validationFraction, int seed)
    {
        var order = Enumerable.Range(0, Count).ToArray();
        new Random(seed).Shuffle(order);
        if (validationFraction == 0)
            return (order, []);
        var (train, validation) = (new List<int>(), new List<int>());
        foreach (var group in order.GroupBy(i => string.Join(' ', Targets[i])).OrderByDescending(group => group.Count()))
        {
            foreach (var sample in group)
            {
                var isDue = validation.Count + 1 <= validationFraction * (train.Count + validation.Count + 1);
                (isDue ? validation : train).Add(sample);
            }
        }
        return ([.. train], [.. validation]);
    }
}
