using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.Attention.Vision;

/// <summary>
/// Keys and values of tokens that other pictures may see in one step. They stay where the session that made them computes.
/// </summary>
/// <param name="parts">For each run that a step takes, and in it for each layer, the keys and the values, [groups, M, C].</param>
/// <param name="lengths">For each level the number of tokens M.</param>
internal sealed class TokenBank(IReadOnlyList<(OrtValue Key, OrtValue Value)[]> parts, int[] lengths) : IDisposable
{
    /// <summary>No tokens.</summary>
    public static TokenBank Empty { get; } = new([], []);

    public bool IsEmpty => lengths.Length == 0;

    /// <summary>How many runs of the UNet a step takes.</summary>
    public int RunCount => parts.Count;

    /// <summary>The layers' keys and values for one of the runs that a step takes.</summary>
    public (OrtValue Key, OrtValue Value)[] Part(int run) => parts[run];

    /// <summary>The number of tokens of a level.</summary>
    public int Length(int level) => IsEmpty ? 0 : lengths[level];

    public void Dispose()
    {
        foreach (var (key, value) in parts.SelectMany(part => part))
        {
            key.Dispose();
            value.Dispose();
        }
    }
}
