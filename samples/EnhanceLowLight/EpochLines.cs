using Microsoft.ML.Attention.Vision;

namespace EnhanceLowLight;

/// <summary>Says a line for some of the epochs, at once (<see cref="Progress{T}"/> would say it some time later).</summary>
internal sealed class EpochLines(Action<string> say, int every) : IProgress<EnhancementEpoch>
{
    public void Report(EnhancementEpoch value)
    {
        if (value.Epoch == 1 || value.Epoch % every == 0)
            say($"  {value}");
    }
}
