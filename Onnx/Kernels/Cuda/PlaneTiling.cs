namespace Microsoft.ML.Attention.Onnx.Kernels.Cuda;

/// <summary>How a block covers planes whose threads go down columns of the output: strips of rows, and several planes if they are small.</summary>
internal readonly record struct PlaneTiling(int RowsPerThread, int PlanesPerBlock, int SharedBytes)
{
    public const int Threads = 256;

    private const int LargestRowCount = 14;
    private const int LargestSharedMemory = 96 * 1024;
    private const int LargestKernelArea = 49;

    /// <summary>The tiling of an output of a plane and the kernel around its places, or null where a plane is too large for a block.</summary>
    public static PlaneTiling? For(int height, int width, in ConvolutionWindow window, long planes)
    {
        if (window.KernelHeight * window.KernelWidth > LargestKernelArea || width > Threads)
            return null;
        // As few strips as keep the threads of a block busy.
        var strips = Math.Max(1, Math.Min(Threads / width, (height + LargestRowCount - 1) / LargestRowCount));
        var rows = (height + strips - 1) / strips;
        strips = (height + rows - 1) / rows;
        var planeBytes = (height + window.KernelHeight - 1) * (width + window.KernelWidth - 1) * sizeof(float);
        if (planeBytes > LargestSharedMemory)
            return null;
        var together = (int)Math.Clamp(Math.Min(Threads / (strips * width), LargestSharedMemory / 2 / planeBytes), 1, planes);
        return new(rows, together, together * planeBytes);
    }
}
