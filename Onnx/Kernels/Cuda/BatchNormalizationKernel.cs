using System.Numerics;

namespace Microsoft.ML.Attention.Onnx.Kernels.Cuda;

/// <summary>Batch normalisation by the statistics of the batch on CUDA, forward or backward: a pass for sums, a pass for the result.</summary>
/// <typeparam name="T">The type of maps: <see cref="float"/> or <see cref="Half"/>; all else is float.</typeparam>
internal sealed unsafe class BatchNormalizationKernel<T> : IKernel
    where T : unmanaged
{
    private const int Threads = 256;
    private const int LargestBlockCount = 4096;

    private static readonly CudaProgram Program = CudaProgram.For<T>("batch_normalization.cu");

    private readonly bool _backward;
    private readonly float _epsilon;
    private readonly float _momentum;

    private BatchNormalizationKernel(KernelAttributes attributes, bool backward)
    {
        _backward = backward;
        _epsilon = attributes.Float("epsilon");
        _momentum = backward ? 0 : attributes.Float("momentum");
    }

    public static IKernel Forward(KernelAttributes attributes) => new BatchNormalizationKernel<T>(attributes, backward: false);

    public static IKernel Backward(KernelAttributes attributes) => new BatchNormalizationKernel<T>(attributes, backward: true);

    public void Compute(KernelContext context)
    {
        var x = context.Input(_backward ? 1 : 0);
        if (x.Shape.Rank < 2)
            throw new KernelException($"input 'x' has shape {x.Shape}, expected [N, C, ...]");
        var channels = x.Shape.Dims[1];
        var scale = context.Input(_backward ? 2 : 1).Expect("[C]", channels);
        var batch = x.Shape.Dims[0];
        var positions = (int)TensorShape.CountOf(x.Shape.Dims[2..]);
        var parts = PartialSums.Parts(channels, batch);
        using var memory = context.Allocate((channels + (parts * channels)) * sizeof(Vector4));
        var parameters = new Parameters
        {
            X = x.Data<T>(),
            Scale = scale.Data<float>(),
            Result = context.Output<T>(0, x.Shape.Dims),
            First = context.Output<float>(1, channels),
            Second = context.Output<float>(2, channels),
            Coefficients = (Vector4*)memory.Data,
            Partials = (float*)((Vector4*)memory.Data + channels),
            Batch = batch,
            Channels = (int)channels,
            Positions = positions,
            Parts = parts,
            Epsilon = _epsilon,
            Momentum = _momentum,
        };
        if (_backward)
        {
            parameters.OutputGrad = context.Input(0).Expect("the shape of x", x.Shape.Dims).Data<T>();
        }
        else
        {
            parameters.Bias = context.Input(2).Expect("[C]", channels).Data<float>();
            parameters.RunningMean = context.Input(3).Expect("[C]", channels).Data<float>();
            parameters.RunningVariance = context.Input(4).Expect("[C]", channels).Data<float>();
        }
        var stream = context.Stream;
        Program.Function("sums").Launch(stream, new(channels, parts), Threads, 0, parameters);
        Program.Function(_backward ? "backward_coefficients" : "forward_coefficients")
            .Launch(stream, new((channels + Threads - 1) / Threads), Threads, 0, parameters);
        var threads = batch * channels * (positions % 4 == 0 ? positions / 4 : positions);
        Program.Function("apply").Launch(
            stream, new(Math.Min((threads + Threads - 1) / Threads, LargestBlockCount)), Threads, 0, parameters);
    }

    public void Dispose()
    {
    }

    private struct Parameters
    {
        public T* OutputGrad;
        public T* X;
        public float* Scale;
        public float* Bias;
        public float* RunningMean;
        public float* RunningVariance;
        public T* Result;
        public float* First;
        public float* Second;
        public float* Partials;
        public Vector4* Coefficients;
        public long Batch;
        public int Channels;
        public int Positions;
        public int Parts;
        public float Epsilon;
        public float Momentum;
    }
}
