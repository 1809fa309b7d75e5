namespace Microsoft.ML.Attention.Onnx.Kernels.Cuda;

/// <summary>Copies a map to its windows, or windows to their map, on CUDA.</summary>
/// <typeparam name="T"><see cref="float"/> or <see cref="Half"/>.</typeparam>
internal sealed unsafe class WindowKernel<T>(KernelAttributes attributes, bool isMerging) : IKernel
    where T : unmanaged
{
    private const int Threads = 256;

    private static readonly CudaProgram Program = CudaProgram.For<T>("windows.cu");

    private readonly int _size = attributes.PositiveInt("size");
    private readonly int _shift = (int)attributes.Int("shift");

    public void Compute(KernelContext context)
    {
        var source = context.Input(0);
        var map = isMerging ? context.Input(1).Shape : source.Shape;
        var sizes = WindowSizes.Of(map, source.Shape.Dims[^1], _size, _shift);
        var (windows, tokens) = (map.Dims[0] * sizes.Rows * sizes.Columns, (long)_size * _size);
        var lanes = sizes.Channels % 4 == 0 ? 4 : 1;
        var parameters = new Parameters
        {
            Source = (isMerging ? source.Expect("[windows, s s, C]", windows, tokens, sizes.Channels) : source).Data<T>(),
            Target = isMerging
                ? context.Output<T>(0, map.Dims[0], sizes.Height, sizes.Width, sizes.Channels)
                : context.Output<T>(0, windows, tokens, sizes.Channels),
            Count = windows * tokens * (sizes.Channels / lanes),
            Lanes = lanes,
            Sizes = sizes,
        };
        if (parameters.Count > 0)
        {
            Program.Function(isMerging ? "window_merge" : "window_partition").Launch(
                context.Stream, new((parameters.Count + Threads - 1) / Threads), Threads, 0, parameters);
        }
    }

    public void Dispose()
    {
    }

    private struct Parameters
    {
        public T* Source;
        public T* Target;
        public long Count;
        public int Lanes;
        public WindowSizes Sizes;
    }
}
