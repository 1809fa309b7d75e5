namespace Microsoft.ML.Attention.Onnx.Kernels.Cuda;

/// <summary>The gradient of a bias on CUDA: one pass over the elements and the sum of its partial sums.</summary>
/// <typeparam name="T"><see cref="float"/> or <see cref="Half"/>.</typeparam>
internal sealed unsafe class BiasGradKernel<T>(KernelAttributes attributes) : IKernel
    where T : unmanaged
{
    private static readonly CudaProgram Four = CudaProgram.For<T>("bias_grad.cu", "STEP=4");
    private static readonly CudaProgram One = CudaProgram.For<T>("bias_grad.cu", "STEP=1");

    private readonly long[] _axes = attributes.Ints("axes");

    public void Compute(KernelContext context)
    {
        var g = context.Input(0);
        var axis = ChannelAxis(g.Shape.Rank);
        var outer = TensorShape.CountOf(g.Shape.Dims[..axis]);
        var channels = g.Shape[axis];
        var inner = TensorShape.CountOf(g.Shape.Dims[(axis + 1)..]);
        var biasGrad = context.Output<T>(0, channels);
        if (inner == 1)
            SumRows(context, new() { OutputGrad = g.Data<T>(), Strips = new(outer, channels) }, biasGrad);
        else
            SumPlanes(context, new() { OutputGrad = g.Data<T>(), Batch = outer, Channels = channels, Positions = (int)inner }, biasGrad);
    }

    public void Dispose()
    {
    }

    // The only one that is not summed over.
    private int ChannelAxis(int rank)
    {
        var axis = 0;
        while (Array.IndexOf(_axes, axis) >= 0)
            axis++;
        for (var other = axis + 1; other < rank; other++)
        {
            if (Array.IndexOf(_axes, other) < 0)
                throw Unexpected();
        }
        return axis < rank ? axis : throw Unexpected();

        KernelException Unexpected() =>
            new($"attribute 'axes' is {TensorShape.Format(_axes)}, expected all axes but one of the {rank} of input 'output_grad'");
    }

    private static void SumRows(KernelContext context, Rows rows, T* biasGrad)
    {
        var strips = rows.Strips;
        using var memory = context.Allocate((long)strips.Count * strips.Width * sizeof(float));
        rows.Partials = (float*)memory.Data;
        Program(strips.Step).Function("sum_rows").Launch(context.Stream, strips.Grid, RowStrips.Threads, 0, rows);
        PartialSums.Add(context.Stream, rows.Partials, biasGrad, strips.Count, strips.Width);
    }

    private static void SumPlanes(KernelContext context, Planes planes, T* biasGrad)
    {
        var step = planes.Positions % 4 == 0 ? 4 : 1;
        var steps = planes.Batch * (planes.Positions / step);
        planes.Parts = PartialSums.Parts(planes.Channels, (steps + RowStrips.Threads - 1) / RowStrips.Threads);
        using var memory = context.Allocate((long)planes.Parts * planes.Channels * sizeof(float));
        planes.Partials = (float*)memory.Data;
        Program(step).Function("sum_planes").Launch(context.Stream, new(planes.Channels, planes.Parts), RowStrips.Threads, 0, planes);
        PartialSums.Add(context.Stream, planes.Partials, biasGrad, planes.Parts, planes.Channels);
    }

    private static CudaProgram Program(int step) => step == 4 ? Four : One;

    private struct Rows
    {
        public T* OutputGrad;
        public float* Partials;
        public RowStrips Strips;
    }

    private struct Planes
    {
        public T* OutputGrad;
        public float* Partials;
        public long Batch;
        public int Channels;
        public int Positions;
        public int Parts;
    }
}
