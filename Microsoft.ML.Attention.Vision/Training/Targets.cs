namespace Microsoft.ML.Attention.Vision;

/// <summary>
/// What the loss <c>-mean_n sum_c t[n, c] log p[n, c]</c> takes as targets: probabilities of the classes, times the weights of the classes.
/// </summary>
/// <param name="classWeights">The weight of each class; their number is the number of classes.</param>
/// <param name="labelSmoothing">The share of each target that is spread over all classes.</param>
internal sealed class Targets(float[] classWeights, float labelSmoothing)
{
    public int ClassCount => classWeights.Length;

    /// <summary>Writes the target of a picture that is of one class for a share and of another for the rest.</summary>
    public void Write(Span<float> target, long label, long otherLabel, float share)
    {
        target.Fill(labelSmoothing / ClassCount);
        target[(int)label] += (1 - labelSmoothing) * share;
        target[(int)otherLabel] += (1 - labelSmoothing) * (1 - share);
        for (var i = 0; i < target.Length; i++)
            target[i] *= classWeights[i];
    }
}
