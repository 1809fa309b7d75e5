namespace Microsoft.ML.Attention.Onnx.Kernels.Cuda;

/// <summary>The gradient of layer normalisation and turn into tokens on CUDA, in one pass and a sum of parts.</summary>
/// <typeparam name="T"><see cref="float"/> or <see cref="Half"/>.</typeparam>
internal sealed unsafe class RaftTokensGradKernel<T>(KernelAttributes attributes) : IKernel
    where T : unmanaged
{
    private static readonly CudaProgram Program = CudaProgram.For<T>("raft_tokens_grad.cu");

    private readonly int _raftSize = attributes.PositiveInt("raft_size");
    private readonly float _epsilon = attributes.Float("epsilon");

    public void Compute(KernelContext context)
    {
        var x = context.Input(1);
        var tiling = RaftTiling.For(x, _raftSize, tiles: 2, static sizes =>
            sizes.Channels + (2 * sizes.Channels * Math.Max(1, RaftTiling.Threads / sizes.Channels)));
        var sizes = tiling.Sizes;
        var (batch, rafts) = (x.Shape.Dims[0], sizes.Channels / sizes.RaftSize);
        using var memory = context.Allocate(Math.Max(1, (long)tiling.BlockCount * 2 * sizes.Channels * sizeof(float)));
        var partials = (float*)memory.Data;
        var parameters = new Parameters
        {
            TokensGrad = context.Input(0)
                .Expect("[N, W, C / r, r H]", batch, sizes.Width, rafts, (long)sizes.RaftSize * sizes.Height).Data<T>(),
            X = x.Data<T>(),
            Scale = context.Input(2).Expect("[C]", sizes.Channels).Data<T>(),
            XGrad = context.Output<T>(0, x.Shape.Dims),
            Partials = partials,
            Epsilon = _epsilon,
            Sizes = sizes,
        };
        Program.Function("raft_tokens_grad").Launch(
            context.Stream, new(tiling.BlockCount), RaftTiling.Threads, tiling.SharedBytes, parameters);
        PartialSums.AddPairs(
            context.Stream, partials, context.Output<T>(1, sizes.Channels), context.Output<T>(2, sizes.Channels), tiling.BlockCount,
            sizes.Channels);
    }

    public void Dispose()
    {
    }

    private struct Parameters
    {
        public T* TokensGrad;
        public T* X;
        public T* Scale;
        public T* XGrad;
        public float* Partials;
        public float Epsilon;
        public RaftSizes Sizes;
    }
}
