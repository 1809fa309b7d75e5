namespace Microsoft.ML.Attention.Onnx.Kernels.Cuda;

/// <summary>A step of AdamW on CUDA: one pass over the weights.</summary>
internal sealed unsafe class AdamWStepKernel(KernelAttributes attributes) : IKernel
{
    private const int Threads = 256;
    private const int LargestBlockCount = 4096;

    private static readonly CudaProgram Program = new("adamw_step.cu");

    private readonly float _beta1 = attributes.Float("beta1");
    private readonly float _beta2 = attributes.Float("beta2");
    private readonly float _epsilon = attributes.Float("epsilon");
    private readonly float _weightDecay = attributes.Float("weight_decay");
    private readonly float _learningRateScale = attributes.Float("learning_rate_scale");

    public void Compute(KernelContext context)
    {
        var count = context.Input(0).Expect("[P]", -1).Shape.Dims[0];
        Program.Function("adamw_step").Launch(context.Stream, new(Math.Min((count + (4 * Threads) - 1) / (4 * Threads), LargestBlockCount)), Threads, 0, new Parameters
        {
            Weights = context.Input(0).Data<float>(),
            Gradient = context.Input(1).Expect("[P]", count).Data<float>(),
            FirstMoment = context.Input(2).Expect("[P]", count).Data<float>(),
            SecondMoment = context.Input(3).Expect("[P]", count).Data<float>(),
            GradientScale = context.Input(4).Data<float>(),
            Step = context.Input(5).Expect("[3]", 3).Data<float>(),
            NewWeights = context.Output<float>(0, count),
            NewFirstMoment = context.Output<float>(1, count),
            NewSecondMoment = context.Output<float>(2, count),
            Count = count,
            Beta1 = _beta1,
            Beta2 = _beta2,
            Epsilon = _epsilon,
            WeightDecay = _weightDecay,
            LearningRateScale = _learningRateScale,
        });
    }

    public void Dispose()
    {
    }

    private struct Parameters
    {
        public float* Weights;
        public float* Gradient;
        public float* FirstMoment;
        public float* SecondMoment;
        public float* GradientScale;
        public float* Step;
        public float* NewWeights;
        public float* NewFirstMoment;
        public float* NewSecondMoment;
        public long Count;
        public float Beta1;
        public float Beta2;
        public float Epsilon;
        public float WeightDecay;
        public float LearningRateScale;
    }
}
