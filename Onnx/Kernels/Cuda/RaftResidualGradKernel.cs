namespace Microsoft.ML.Attention.Onnx.Kernels.Cuda;

/// <summary>The gradients of tokens and bias that were added to a map on CUDA, in one pass and a sum of parts.</summary>
/// <typeparam name="T"><see cref="float"/> or <see cref="Half"/>.</typeparam>
internal sealed unsafe class RaftResidualGradKernel<T>(KernelAttributes attributes) : IKernel
    where T : unmanaged
{
    private static readonly CudaProgram Program = CudaProgram.For<T>("raft_residual.cu");

    private readonly int _raftSize = attributes.PositiveInt("raft_size");

    public void Compute(KernelContext context)
    {
        var yGrad = context.Input(0);
        var keep = context.Input(1);
        var tiling = RaftTiling.For(yGrad, _raftSize, tiles: 1, static sizes => sizes.RaftSize * sizes.Height);
        var sizes = tiling.Sizes;
        var (batch, mixed) = (yGrad.Shape.Dims[0], sizes.RaftSize * sizes.Height);
        using var memory = context.Allocate(Math.Max(1, (long)tiling.BlockCount * mixed * sizeof(float)));
        var partials = (float*)memory.Data;
        var parameters = new Parameters
        {
            YGrad = yGrad.Data<T>(),
            Keep = keep.Data<T>(),
            TokensGrad = context.Output<T>(0, batch, sizes.Width, sizes.Channels / sizes.RaftSize, mixed),
            Partials = partials,
            KeepsExamples = KeptExamples.StepOf(keep, batch),
            Sizes = sizes,
        };
        Program.Function("raft_residual_grad").Launch(
            context.Stream, new(tiling.BlockCount), RaftTiling.Threads, tiling.SharedBytes, parameters);
        PartialSums.Add(context.Stream, partials, context.Output<T>(1, mixed), tiling.BlockCount, mixed);
    }

    public void Dispose()
    {
    }

    private struct Parameters
    {
        public T* YGrad;
        public T* Keep;
        public T* TokensGrad;
        public float* Partials;
        public int KeepsExamples;
        public RaftSizes Sizes;
    }
}
