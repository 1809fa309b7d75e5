namespace Microsoft.ML.Attention.Vision;

/// <summary>A picture on its way from noise, as latents [4, H / 8, W / 8].</summary>
/// <param name="latents">The noise that it starts from.</param>
/// <param name="prompt">What it shows at first.</param>
internal sealed class LatentPicture(float[] latents, PromptEmbedding prompt)
{
    /// <summary>What it shows in this step.</summary>
    public PromptEmbedding Prompt { get; private set; } = prompt;

    /// <summary>What it shows from a step on; null where that is the same in all.</summary>
    public (PromptEmbedding Prompt, int Step)? Later { get; init; }

    public float[] Latents => latents;

    /// <summary>The latents without noise, as predicted in the step before.</summary>
    public float[] Original { get; } = new float[latents.Length];

    /// <summary>What the UNet predicts in this step, after guidance.</summary>
    public float[] Prediction { get; } = new float[latents.Length];

    /// <summary>Begins a step.</summary>
    public void Begin(int step)
    {
        if (Later is { } later && step >= later.Step)
            Prompt = later.Prompt;
    }
}

/// <summary>Pictures that are made in one batch and draw from one generator.</summary>
/// <param name="Pictures">The pictures.</param>
/// <param name="Noise">Where schedulers draw from.</param>
internal sealed record StoryPass(IReadOnlyList<LatentPicture> Pictures, TorchRandom Noise);
