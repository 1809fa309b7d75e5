namespace Microsoft.ML.Attention.Onnx.Kernels;

/// <summary>The sizes of a call of global dynamic convolution.</summary>
/// <param name="Batch">Pictures.</param>
/// <param name="Channels">Channels of the map.</param>
/// <param name="Positions">Positions of the map.</param>
/// <param name="Tokens">Filters of a picture.</param>
internal readonly record struct GlobalDynamicConvolutionSizes(int Batch, int Channels, int Positions, int Tokens)
{
    /// <summary>Whether projection times filters, then that times the keys, is less work than the other order.</summary>
    public bool IsFoldingLess => ((long)Tokens * Channels) + ((long)Channels * Positions) < 2L * Tokens * Positions;

    /// <exception cref="KernelException">The inputs do not fit each other.</exception>
    public static GlobalDynamicConvolutionSizes Of(KernelContext context)
    {
        var x = context.Input(0).Expect("[N, C, H, W]", -1, -1, -1, -1);
        context.Input(1).Expect("the shape of x", x.Shape.Dims);
        var (batch, channels) = (x.Shape[0], x.Shape[1]);
        var filters = context.Input(2).Expect("[N, T, C]", batch, -1, channels);
        var tokens = filters.Shape[1];
        context.Input(3).Expect("[C, T]", channels, tokens);
        context.Input(4).Expect("[1]", 1);
        context.Input(5).Expect("[C]", channels);
        return new(batch, channels, checked((int)(x.Shape.Dims[2] * x.Shape.Dims[3])), tokens);
    }
}
