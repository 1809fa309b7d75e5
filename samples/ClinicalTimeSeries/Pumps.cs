using Microsoft.ML;
using Microsoft.ML.Attention;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Data;
using Microsoft.ML.Trainers.LightGbm;

namespace ClinicalTimeSeries;

/// <summary>
/// A task outside medicine: what is wrong with a pump, by 64 readings of four sensors. The readings are drawn: noise around a level of each
/// run's own, and, from a time in the second half on, vibration that grows (worn bearing), a pressure that steps up while the flow steps
/// down (blocked), a flow that drifts down (leaking), or nothing.
/// </summary>
internal static class Pumps
{
    private const int Readings = 64;
    private const int SensorCount = 4;
    private static readonly string[] Sensors = ["Flow", "Pressure", "Vibration", "Temperature"];
    private static readonly string[] Faults = ["sound", "worn bearing", "blocked", "leaking"];

    /// <summary>Trains on some runs and says the accuracy on others, beside LightGBM on the usual summary features of the same runs.</summary>
    public static double Run(MLContext context, TemporalAttentionTrainer.Options common, Action<string> say)
    {
        var (train, test) = (Load(context, 400, seed: 1), Load(context, 200, seed: 2));
        var pipeline = context.Transforms.Conversion.MapValueToKey("Label", "Fault")
            .Append(context.MulticlassClassification.Trainers.TemporalAttention(new TemporalAttentionTrainer.Options
            {
                Columns = new() { Series = "Readings", Times = null },
                Variables = [.. Sensors.Select(sensor => new SeriesVariable(sensor) { HasFlag = false })],
                Preprocessing = new() { BinCount = Readings },
                Architecture = new()
                {
                    AttentionWidth = 32, HiddenWidth = 32, HeadCount = 4, HeadWidth = 0, DropoutRate = 0.1f,
                    FeaturePooling = TscanFeaturePooling.Columns,
                },
                EpochCount = 30,
                LearningRate = 5e-3f,
                Seed = 1,
                Scoring = common.Scoring,
            }));
        var metrics = context.MulticlassClassification.Evaluate(pipeline.Fit(train).Transform(test));
        say($"pumps: {metrics.MicroAccuracy:0.0%} of 200 drawn runs of four kinds told right after training on 400");
        if (BoostedTrees.HasOpenMp)
        {
            var trees = context.Transforms.Conversion.MapValueToKey("Label", "Fault")
                .Append(context.MulticlassClassification.Trainers.LightGbm(new LightGbmMulticlassTrainer.Options { NumberOfThreads = 1 }));
            var peer = context.MulticlassClassification.Evaluate(trees.Fit(train).Transform(test));
            say($"pumps: {peer.MicroAccuracy:0.0%} by LightGBM on summary features of the same runs");
        }
        return metrics.MicroAccuracy;
    }

    private static IDataView Load(MLContext context, int count, int seed)
    {
        var random = new Random(seed);
        return context.Data.LoadFromEnumerable(Enumerable.Range(0, count).Select(i => Draw(random, i % Faults.Length)).ToArray());
    }

    private static PumpRun Draw(Random random, int fault)
    {
        var readings = new float[Readings * Sensors.Length];
        var levels = Sensors.Select(_ => random.NextDouble() - 0.5).ToArray();
        var onset = (Readings / 2) + random.Next(Readings / 4);
        for (var t = 0; t < Readings; t++)
        {
            var since = Math.Max(0, t - onset) / (double)Readings;
            for (var sensor = 0; sensor < Sensors.Length; sensor++)
            {
                var noise = random.NextDouble() - 0.5;
                readings[(t * Sensors.Length) + sensor] = (float)(levels[sensor] + (fault, sensor) switch
                {
                    (1, 2) => noise * (1 + (12 * since)),
                    (2, 0) => noise - (since > 0 ? 0.6 : 0),
                    (2, 1) => noise + (since > 0 ? 0.6 : 0),
                    (3, 0) => noise - (4 * since),
                    _ => noise,
                });
            }
        }
        float[] times = [.. Enumerable.Range(1, Readings).Select(time => (float)time)];
        return new() { Readings = readings, Features = SummaryFeatures.Of(times, readings, Sensors.Length), Fault = Faults[fault] };
    }

    private sealed class PumpRun
    {
        public float[] Readings { get; set; } = [];

        [VectorType(SummaryFeatures.PerVariable * SensorCount)]
        public float[] Features { get; set; } = [];

        public string Fault { get; set; } = "";
    }
}
