namespace Microsoft.ML.Attention.Onnx.Kernels.Cuda;

/// <summary>Tokens put back in the order of the map and added to it on CUDA: each element is read and written once.</summary>
/// <typeparam name="T"><see cref="float"/> or <see cref="Half"/>.</typeparam>
internal sealed unsafe class RaftResidualKernel<T>(KernelAttributes attributes) : IKernel
    where T : unmanaged
{
    private static readonly CudaProgram Program = CudaProgram.For<T>("raft_residual.cu");

    private readonly int _raftSize = attributes.PositiveInt("raft_size");

    public void Compute(KernelContext context)
    {
        var x = context.Input(0);
        var keep = context.Input(3);
        var tiling = RaftTiling.For(x, _raftSize, tiles: 1, static _ => 0);
        var sizes = tiling.Sizes;
        var (batch, mixed) = (x.Shape.Dims[0], (long)sizes.RaftSize * sizes.Height);
        var parameters = new Parameters
        {
            X = x.Data<T>(),
            Tokens = context.Input(1).Expect("[N, W, C / r, r H]", batch, sizes.Width, sizes.Channels / sizes.RaftSize, mixed).Data<T>(),
            Bias = context.Input(2).Expect("[r H]", mixed).Data<T>(),
            Keep = keep.Data<T>(),
            Y = context.Output<T>(0, x.Shape.Dims),
            KeepsExamples = KeptExamples.StepOf(keep, batch),
            Sizes = sizes,
        };
        Program.Function("raft_residual").Launch(
            context.Stream, new(tiling.TileCount), RaftTiling.Threads, tiling.SharedBytes, parameters);
    }

    public void Dispose()
    {
    }

    private struct Parameters
    {
        public T* X;
        public T* Tokens;
        public T* Bias;
        public T* Keep;
        public T* Y;
        public int KeepsExamples;
        public RaftSizes Sizes;
    }
}
