using Microsoft.ML.Data;
using Microsoft.ML.Attention.Onnx.Models;

namespace Microsoft.ML.Attention.Tests.TimeSeries;

/// <summary>
/// Series of three variables at uneven times with gaps, whose labels depend on the level of variable b in the second half alone.
/// </summary>
internal static class Waves
{
    public const int VariableCount = 3;

    public static readonly string[] Names = ["a", "b", "c"];

    public static List<Wave> Draw(int count, int seed = 1)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(i =>
        {
            var level = i % 3;
            var times = Enumerable.Range(0, 16).Select(t => (float)(t + random.NextDouble())).ToArray();
            var values = new float[times.Length * VariableCount];
            for (var j = 0; j < values.Length; j++)
            {
                var shift = j % VariableCount == 1 && times[j / VariableCount] > 8 ? 2 * (level - 1) : 0;
                values[j] = random.NextDouble() < 0.3 ? float.NaN : (float)(random.NextDouble() - 0.5) + shift;
            }
            return new Wave
            {
                Times = times, Series = values, High = level == 2, Level = $"level {level}", Amount = 100 + (10 * level),
                Flags = [level == 0, level == 2],
            };
        })];
    }

    /// <summary>Options for a training of a second or so.</summary>
    public static TemporalAttentionTrainer.Options Options(string label) => new()
    {
        Columns = new() { Label = label },
        Variables = [.. Names.Select(name => new SeriesVariable(name))],
        Preprocessing = new() { BinCount = 16 },
        Architecture = new()
        {
            AttentionWidth = 16, HiddenWidth = 16, HeadCount = 2, SegmentCount = 2, DropoutRate = 0.1f, HeadWidth = 0,
            Branches = TscanBranches.Temporal,
        },
        EpochCount = 12,
        BatchSize = 16,
        LearningRate = 1e-2f,
        Seed = 5,
        Scoring = new() { Session = new() { ExecutionProvider = ExecutionProvider.Cpu } },
    };
}

internal sealed class Wave
{
    public float[] Times { get; set; } = [];

    public float[] Series { get; set; } = [];

    public bool High { get; set; }

    public string Level { get; set; } = "";

    public float Amount { get; set; }

    [VectorType(2)]
    public bool[] Flags { get; set; } = [];
}
