namespace Microsoft.ML.Attention.Vision;

/// <summary>What all pictures of a story have in common.</summary>
/// <param name="Height">Height of the latents: an eighth of the picture's.</param>
/// <param name="Width">Width of the latents.</param>
/// <param name="Negative">What pictures must not look like; null without guidance.</param>
/// <param name="Guidance">How much more a picture follows its prompt than that (Ho and Salimans, arXiv 2207.12598).</param>
/// <param name="TimeIds">Six sizes that SDXL is told; empty for others.</param>
internal sealed record UnetConditions(int Height, int Width, PromptEmbedding? Negative, float Guidance, float[] TimeIds)
{
    /// <summary>The number of channels of the latents: 4 in all of Stable Diffusion's models.</summary>
    public int Channels { get; init; } = 4;

    /// <summary>The number of numbers in a picture's latents.</summary>
    public int LatentCount => Channels * Height * Width;
}

/// <summary>One batch of pictures in one step.</summary>
/// <param name="Pictures">The pictures.</param>
/// <param name="Timestep">The step of training.</param>
/// <param name="InputScale">What latents are multiplied by.</param>
/// <param name="IsOpen">For each layer whether pictures see what the mask and the bank show.</param>
/// <param name="Mask">Makes the mask of a level for a bank of some length; null where each sees all of the bank and itself.</param>
/// <param name="Shared">For each level the tokens that go into the bank, counted through all pictures of the batch; null for none.</param>
internal sealed record UnetBatch(
    LatentPicture[] Pictures, double Timestep, float InputScale, bool[] IsOpen, Func<int, int, bool[]>? Mask, Func<int, long[]>? Shared);
