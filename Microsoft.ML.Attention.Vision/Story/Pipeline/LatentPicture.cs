namespace Microsoft.ML.Attention.Vision;

/// <summary>A picture on its way from noise, as latents [4, H / 8, W / 8].</summary>
/// <param name="latents">The noise that it starts from.</param>
/// <param name="prompt">What it shows.</param>
internal sealed class LatentPicture(float[] latents, PromptEmbedding prompt)
{
    public PromptEmbedding Prompt => prompt;

    public float[] Latents => latents;

    /// <summary>The latents without noise, as predicted in the step before.</summary>
    public float[] Original { get; } = new float[latents.Length];

    /// <summary>What the UNet predicts in this step, after guidance.</summary>
    public float[] Prediction { get; } = new float[latents.Length];
}

/// <summary>Pictures that are made in one batch and draw from one generator.</summary>
/// <param name="Pictures">The pictures.</param>
/// <param name="Noise">Where schedulers draw from.</param>
internal sealed record StoryPass(IReadOnlyList<LatentPicture> Pictures, TorchRandom Noise);
