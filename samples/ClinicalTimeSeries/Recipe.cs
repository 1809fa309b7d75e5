using Microsoft.ML.Attention;
using Microsoft.ML.Attention.Onnx.Models;

namespace ClinicalTimeSeries;

/// <summary>How the attention networks are trained on some hundreds of stays.</summary>
internal static class Recipe
{
    /// <summary>
    /// Bins of four hours with flags of what was measured, the temporal branch alone with an eighth of the published width after an embedding of 32: there are too few stays
    /// for more.
    /// </summary>
    public static TemporalAttentionTrainer.Options Create(
        IReadOnlyList<SeriesVariable> variables, int memberCount, int epochCount, int seed, ExecutionProvider provider) => new()
    {
        Variables = variables,
        Preprocessing = new() { BinCount = 12, BinWidth = 4 },
        SeesFlags = true,
        Architecture = new()
        {
            Branches = TscanBranches.Temporal, EmbeddingWidth = 32, AttentionWidth = 64, HiddenWidth = 64, HeadCount = 4, HeadWidth = 0,
        },
        MemberCount = memberCount,
        EpochCount = epochCount,
        BatchSize = 16,
        LearningRate = 2e-3f,
        Seed = seed,
        Scoring = new() { Session = new() { ExecutionProvider = provider } },
    };
}
