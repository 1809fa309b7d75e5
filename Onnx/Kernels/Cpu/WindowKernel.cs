namespace Microsoft.ML.Attention.Onnx.Kernels.Cpu;

/// <summary>Copies a map to its windows, or windows to their map, a row of channels at a time.</summary>
internal sealed unsafe class WindowKernel(KernelAttributes attributes, bool isMerging) : IKernel
{
    private readonly int _size = attributes.PositiveInt("size");
    private readonly int _shift = (int)attributes.Int("shift");

    public void Compute(KernelContext context)
    {
        var source = context.Input(0);
        var map = isMerging ? context.Input(1).Shape : source.Shape;
        var sizes = WindowSizes.Of(map, source.Shape.Dims[^1], _size, _shift);
        var (windows, tokens) = (map.Dims[0] * sizes.Rows * sizes.Columns, (long)_size * _size);
        var work = new Work
        {
            Sizes = sizes,
            IsMerging = isMerging,
            Source = (isMerging ? source.Expect("[windows, s s, C]", windows, tokens, sizes.Channels) : source).Data<float>(),
            Target = isMerging
                ? context.Output<float>(0, map.Dims[0], sizes.Height, sizes.Width, sizes.Channels)
                : context.Output<float>(0, windows, tokens, sizes.Channels),
        };
        context.ParallelFor(work, (int)windows);
    }

    public void Dispose()
    {
    }

    private struct Work : IParallelWork
    {
        public WindowSizes Sizes;
        public bool IsMerging;
        public float* Source;
        public float* Target;

        public readonly void Run(int index)
        {
            var tokens = (long)Sizes.Size * Sizes.Size;
            for (var place = index * tokens; place < (index + 1) * tokens; place++)
            {
                var inMap = Sizes.InMap(place);
                if (!IsMerging && inMap < 0)
                    Row(Target, place).Clear();
                else if (!IsMerging)
                    Row(Source, inMap).CopyTo(Row(Target, place));
                else if (inMap >= 0)
                    Row(Source, place).CopyTo(Row(Target, inMap));
            }
        }

        private readonly Span<float> Row(float* rows, long index) => new(rows + (index * Sizes.Channels), Sizes.Channels);
    }
}
