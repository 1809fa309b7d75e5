using Microsoft.ML.Attention.Vision;

namespace Samples.Data;

/// <summary>Says a line an epoch, at once (<see cref="Progress{T}"/> would say it some time later).</summary>
internal sealed class EpochLines(Action<string> say) : IProgress<EpochSummary>
{
    public void Report(EpochSummary value) => say($"  {value}");
}
