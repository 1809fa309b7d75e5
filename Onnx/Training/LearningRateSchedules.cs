namespace Microsoft.ML.Attention.Onnx.Training;

/// <summary>The learning rate of each step.</summary>
public interface ILearningRateSchedule
{
    /// <summary>The learning rate of a step, counted from 0.</summary>
    float At(long step);
}

/// <summary>The same learning rate in all steps.</summary>
/// <param name="Rate">The learning rate.</param>
public sealed record ConstantSchedule(float Rate) : ILearningRateSchedule
{
    /// <inheritdoc/>
    public float At(long step) => Rate;
}

/// <summary>
/// Rises in a straight line from <paramref name="Start"/> to <paramref name="Peak"/> over the warm-up, then falls along half a cosine to
/// <paramref name="End"/>.
/// </summary>
/// <param name="Peak">The highest learning rate.</param>
/// <param name="Steps">The number of steps in all.</param>
/// <param name="WarmUpSteps">The number of steps of the rise.</param>
/// <param name="Start">The learning rate of the first step, where there is a warm-up.</param>
/// <param name="End">The learning rate after the last step.</param>
public sealed record CosineSchedule(float Peak, long Steps, long WarmUpSteps = 0, float Start = 0, float End = 0) : ILearningRateSchedule
{
    /// <inheritdoc/>
    public float At(long step)
    {
        if (step < WarmUpSteps)
            return Start + ((Peak - Start) * step / WarmUpSteps);
        var progress = Math.Clamp((double)(step - WarmUpSteps) / Math.Max(1, Steps - WarmUpSteps), 0, 1);
        return (float)(End + ((Peak - End) * 0.5 * (1 + Math.Cos(Math.PI * progress))));
    }
}
