namespace Microsoft.ML.Attention.Onnx.Training;

/// <summary>
/// The factor on the loss that keeps small gradients in the range of float16: doubled after many good steps, halved after a step whose
/// gradients overflowed.
/// </summary>
internal sealed class LossScale
{
    private const float Initial = 65536;
    private const float Smallest = 1f / 1024;
    private const float Largest = 1 << 24;
    private const int StepsToGrow = 2000;

    public float Value { get; set; } = Initial;

    /// <summary>Good steps since the factor changed.</summary>
    public long GoodSteps { get; set; }

    /// <summary>Adapts the factor to what became of a step.</summary>
    /// <exception cref="InvalidOperationException">Steps overflow whatever the factor is.</exception>
    public void Update(bool overflowed)
    {
        GoodSteps = overflowed ? 0 : GoodSteps + 1;
        if (overflowed)
            Value /= 2;
        else if (GoodSteps % StepsToGrow == 0)
            Value = Math.Min(Value * 2, Largest);
        if (Value < Smallest)
        {
            throw new InvalidOperationException(
                $"The gradients are not finite though the loss is scaled by {Value * 2} only: the model itself overflows in float16, or its " +
                "loss is no number. Train with TrainingPrecision.Float32 or a lower learning rate, and check the inputs.");
        }
    }
}
