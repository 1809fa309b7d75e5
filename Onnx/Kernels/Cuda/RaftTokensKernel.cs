namespace Microsoft.ML.Attention.Onnx.Kernels.Cuda;

/// <summary>Layer normalisation and turn into tokens on CUDA: each element is read and written once.</summary>
/// <typeparam name="T"><see cref="float"/> or <see cref="Half"/>.</typeparam>
internal sealed unsafe class RaftTokensKernel<T>(KernelAttributes attributes) : IKernel
    where T : unmanaged
{
    private static readonly CudaProgram Program = CudaProgram.For<T>("raft_tokens.cu");

    private readonly int _raftSize = attributes.PositiveInt("raft_size");
    private readonly float _epsilon = attributes.Float("epsilon");

    public void Compute(KernelContext context)
    {
        var x = context.Input(0);
        var tiling = RaftTiling.For(x, _raftSize, tiles: 1, static _ => 0);
        var sizes = tiling.Sizes;
        var parameters = new Parameters
        {
            X = x.Data<T>(),
            Scale = context.Input(1).Expect("[C]", sizes.Channels).Data<T>(),
            Bias = context.Input(2).Expect("[C]", sizes.Channels).Data<T>(),
            Tokens = context.Output<T>(
                0, x.Shape.Dims[0], sizes.Width, sizes.Channels / sizes.RaftSize, (long)sizes.RaftSize * sizes.Height),
            Epsilon = _epsilon,
            Sizes = sizes,
        };
        Program.Function("raft_tokens").Launch(
            context.Stream, new(tiling.TileCount), RaftTiling.Threads, tiling.SharedBytes, parameters);
    }

    public void Dispose()
    {
    }

    private struct Parameters
    {
        public T* X;
        public T* Scale;
        public T* Bias;
        public T* Tokens;
        public float Epsilon;
        public RaftSizes Sizes;
    }
}
