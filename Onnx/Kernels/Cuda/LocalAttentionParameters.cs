using System.Numerics;

namespace Microsoft.ML.Attention.Onnx.Kernels.Cuda;

/// <summary>The struct Sizes of efficient_local_attention.cuh.</summary>
internal readonly struct LocalAttentionParameters(in LocalAttentionSizes sizes)
{
    public readonly int Channels = sizes.Channels;
    public readonly int Height = sizes.Height;
    public readonly int Width = sizes.Width;
    public readonly int Strip = sizes.Height + sizes.Width;
    public readonly int Plane = sizes.Height * sizes.Width;
    public readonly int Kernel = sizes.Kernel;
    public readonly int ChannelsPerGroup = sizes.ChannelsPerGroup;
    public readonly int ChannelsPerNormGroup = sizes.ChannelsPerNormGroup;
    public readonly int BlockChannels = sizes.BlockChannels;
    public readonly int Blocks = sizes.Blocks;
    public readonly int LanesPerRow = (int)Math.Min(BitOperations.RoundUpToPowerOf2((uint)sizes.Width), 32);
    public readonly float Epsilon = sizes.Epsilon;
    public readonly Divisor ByHeight = new(sizes.Height);
    public readonly Divisor ByWidth = new(sizes.Width);
    public readonly Divisor ByStrip = new(sizes.Height + sizes.Width);

    /// <summary>The strips of a block of channels, in bytes.</summary>
    public long StripBytes => (long)BlockChannels * Strip * sizeof(float);

    /// <summary>The normalisation groups of a block of channels.</summary>
    public int NormGroups => BlockChannels / ChannelsPerNormGroup;

    /// <summary>The map of a block of channels, in bytes, to a multiple of 16.</summary>
    public long MapBytes(int elementBytes) => (((long)BlockChannels * Plane * elementBytes) + 15) / 16 * 16;
}
