namespace Microsoft.ML.Attention.Onnx.Kernels;

/// <summary>The windows of a convolution of two axes; the same struct is in convolution_window.cuh.</summary>
internal readonly record struct ConvolutionWindow
{
    public readonly int KernelHeight;
    public readonly int KernelWidth;
    public readonly int StrideY;
    public readonly int StrideX;
    public readonly int DilationY;
    public readonly int DilationX;
    public readonly int PadTop;
    public readonly int PadLeft;
    public readonly int PadBottom;
    public readonly int PadRight;

    public ConvolutionWindow(KernelAttributes attributes)
    {
        var (kernel, strides) = (attributes.Ints("kernel_shape"), attributes.Ints("strides"));
        var (dilations, pads) = (attributes.Ints("dilations"), attributes.Ints("pads"));
        (KernelHeight, KernelWidth) = ((int)kernel[0], (int)kernel[1]);
        (StrideY, StrideX) = ((int)strides[0], (int)strides[1]);
        (DilationY, DilationX) = ((int)dilations[0], (int)dilations[1]);
        (PadTop, PadLeft, PadBottom, PadRight) = ((int)pads[0], (int)pads[1], (int)pads[2], (int)pads[3]);
    }

    /// <summary>Whether windows are neither apart nor spread.</summary>
    public bool IsPlain => (StrideY, StrideX, DilationY, DilationX) == (1, 1, 1, 1);

    /// <summary>The number of windows down a map.</summary>
    public int OutputHeight(int height) => ((Rows(height) - 1) / StrideY) + 1;

    /// <summary>The number of windows across a map.</summary>
    public int OutputWidth(int width) => ((Columns(width) - 1) / StrideX) + 1;

    /// <summary>The number of windows down a map if all are computed, whatever the stride; 0 or less where none fits.</summary>
    public int Rows(int height) => height + PadTop + PadBottom - ((KernelHeight - 1) * DilationY);

    /// <summary>The number of windows across a map if all are computed, whatever the stride; 0 or less where none fits.</summary>
    public int Columns(int width) => width + PadLeft + PadRight - ((KernelWidth - 1) * DilationX);
}
