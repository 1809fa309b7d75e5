namespace Microsoft.ML.Attention.Onnx.Kernels.Cuda;

/// <summary>The sizes of a convolution of float16 maps with channels last, and what is done to its sums.</summary>
/// <param name="Batch">Pictures.</param>
/// <param name="Height">Of the input.</param>
/// <param name="Width">Of the input.</param>
/// <param name="Channels">Of the input.</param>
/// <param name="Outputs">Output channels.</param>
/// <param name="Window">Kernel, strides, dilations, pads.</param>
/// <param name="HasBias">Whether a bias is added.</param>
/// <param name="HasResidual">Whether a map like the output is added.</param>
/// <param name="IsRectified">Whether negative results become 0.</param>
internal readonly record struct ConvolutionSizes(
    int Batch, int Height, int Width, int Channels, int Outputs, ConvolutionWindow Window, bool HasBias, bool HasResidual, bool IsRectified)
{
    public int OutputHeight => Window.OutputHeight(Height);

    public int OutputWidth => Window.OutputWidth(Width);
}

/// <summary>The memory of one convolution.</summary>
internal unsafe struct ConvolutionMemory
{
    public void* X;
    public void* Weight;
    public void* Bias;
    public void* Residual;
    public void* Y;
}

/// <summary>
/// A convolution with bias, residual sum and ReLU as one plan of cuDNN: the fastest, measured once, of those that it proposes. It is kept,
/// with the descriptors it is made of, for the life of the process.
/// </summary>
internal sealed unsafe class CudnnConvolution
{
    private const long LargestWorkspace = 256L << 20;
    private const int MostCandidates = 6;
    private const int MeasuredRuns = 3;

    private const int Half = 2, Single = 0;
    private const int CrossCorrelation = 1;
    private const int Add = 0, Relu = 100;
    private const long XId = 1, WeightId = 2, BiasId = 3, ResidualId = 4, YId = 5, FirstVirtualId = 100;

    // The mode that knows most, and one that has something for everything.
    private static readonly int[] HeuristicsModes = [3, 2];

    private readonly long[] _ids;
    private readonly ConvolutionSizes _sizes;
    private readonly nint _plan;

    private CudnnConvolution(CudnnHandle handle, KernelContext context, in ConvolutionSizes sizes, in ConvolutionMemory memory)
    {
        _sizes = sizes;
        _ids = [XId, WeightId, YId, .. sizes.HasBias ? [BiasId] : Array.Empty<long>(), .. sizes.HasResidual ? [ResidualId] : Array.Empty<long>()];
        (_plan, WorkspaceSize) = Fastest(handle, context, Plans(handle.Value, BuildGraph(handle.Value)), memory);
    }

    /// <summary>Bytes that the plan needs besides its tensors.</summary>
    public long WorkspaceSize { get; }

    /// <summary>Chooses a plan by running the candidates on the memory of a call. The handle's stream is the call's.</summary>
    /// <exception cref="KernelException">cuDNN has no plan for the sizes.</exception>
    public static CudnnConvolution Create(
        CudnnHandle handle, KernelContext context, in ConvolutionSizes sizes, in ConvolutionMemory memory) =>
        new(handle, context, sizes, memory);

    /// <summary>Enqueues the convolution on the handle's stream.</summary>
    public void Run(CudnnHandle handle, in ConvolutionMemory memory, void* workspace)
    {
        var pack = Pack(memory, workspace);
        try
        {
            Cudnn.Instance.Execute(handle.Value, _plan, pack);
        }
        finally
        {
            Cudnn.Instance.DestroyDescriptor(pack);
        }
    }

    private nint BuildGraph(nint handle)
    {
        var s = _sizes;
        long[] output = [s.Batch, s.Outputs, s.OutputHeight, s.OutputWidth];
        var operations = new List<nint>();
        var virtualId = FirstVirtualId;
        var operationsLeft = 1 + (s.HasResidual ? 1 : 0) + (s.HasBias ? 1 : 0) + (s.IsRectified ? 1 : 0);

        var convolution = New(CudnnDescriptor.ConvolutionForward);
        Set(convolution, CudnnAttribute.ForwardX, CudnnType.Descriptor, Tensor(XId, Half, s.Batch, s.Channels, s.Height, s.Width));
        Set(convolution, CudnnAttribute.ForwardWeight, CudnnType.Descriptor,
            Tensor(WeightId, Half, s.Outputs, s.Channels, s.Window.KernelHeight, s.Window.KernelWidth));
        var last = NextResult();
        Set(convolution, CudnnAttribute.ForwardY, CudnnType.Descriptor, last);
        Set(convolution, CudnnAttribute.ForwardConvolution, CudnnType.Descriptor, Window());
        Set(convolution, CudnnAttribute.ForwardAlpha, CudnnType.Float, 1f);
        Set(convolution, CudnnAttribute.ForwardBeta, CudnnType.Float, 0f);
        operations.Add(Completed(convolution));
        if (s.HasResidual)
            Apply(Add, Tensor(ResidualId, Half, output));
        if (s.HasBias)
            Apply(Add, Tensor(BiasId, Half, 1, s.Outputs, 1, 1));
        if (s.IsRectified)
            Apply(Relu, null);

        var graph = New(CudnnDescriptor.OperationGraph);
        Set(graph, CudnnAttribute.GraphHandle, CudnnType.Handle, handle);
        Set<nint>(graph, CudnnAttribute.GraphOperations, CudnnType.Descriptor, [.. operations]);
        return Completed(graph);

        void Apply(int mode, nint? other)
        {
            var kind = New(CudnnDescriptor.Pointwise);
            Set(kind, CudnnAttribute.PointwiseMode, CudnnType.PointwiseMode, mode);
            Set(kind, CudnnAttribute.PointwisePrecision, CudnnType.DataType, Single);
            var operation = New(CudnnDescriptor.PointwiseOperation);
            Set(operation, CudnnAttribute.PointwiseDescriptor, CudnnType.Descriptor, Completed(kind));
            Set(operation, CudnnAttribute.PointwiseX, CudnnType.Descriptor, last);
            if (other is { } operand)
                Set(operation, CudnnAttribute.PointwiseB, CudnnType.Descriptor, operand);
            last = NextResult();
            Set(operation, CudnnAttribute.PointwiseY, CudnnType.Descriptor, last);
            operations.Add(Completed(operation));
        }

        // Results of all operations but the last stay in registers, in single precision.
        nint NextResult() => --operationsLeft == 0 ? Tensor(YId, Half, output) : Tensor(virtualId++, Single, output);
    }

    private nint Window()
    {
        var w = _sizes.Window;
        var descriptor = New(CudnnDescriptor.Convolution);
        Set(descriptor, CudnnAttribute.ConvolutionPrecision, CudnnType.DataType, Single);
        Set(descriptor, CudnnAttribute.ConvolutionMode, CudnnType.ConvolutionMode, CrossCorrelation);
        Set(descriptor, CudnnAttribute.ConvolutionSpatialDims, CudnnType.Int64, 2L);
        Set(descriptor, CudnnAttribute.ConvolutionStrides, CudnnType.Int64, (long)w.StrideY, w.StrideX);
        Set(descriptor, CudnnAttribute.ConvolutionDilations, CudnnType.Int64, (long)w.DilationY, w.DilationX);
        Set(descriptor, CudnnAttribute.ConvolutionPrePaddings, CudnnType.Int64, (long)w.PadTop, w.PadLeft);
        Set(descriptor, CudnnAttribute.ConvolutionPostPaddings, CudnnType.Int64, (long)w.PadBottom, w.PadRight);
        return Completed(descriptor);
    }

    // cuDNN counts axes as N, C, H, W whatever their order in memory, which strides tell: here channels are the last.
    private nint Tensor(long id, int type, params ReadOnlySpan<long> dims)
    {
        var (channels, height, width) = (dims[1], dims[2], dims[3]);
        var descriptor = New(CudnnDescriptor.Tensor);
        Set(descriptor, CudnnAttribute.TensorDataType, CudnnType.DataType, type);
        Set(descriptor, CudnnAttribute.TensorDimensions, CudnnType.Int64, dims);
        Set(descriptor, CudnnAttribute.TensorStrides, CudnnType.Int64, height * width * channels, 1, width * channels, channels);
        Set(descriptor, CudnnAttribute.TensorId, CudnnType.Int64, id);
        Set(descriptor, CudnnAttribute.TensorAlignment, CudnnType.Int64, 16L);
        Set(descriptor, CudnnAttribute.TensorIsVirtual, CudnnType.Boolean, (byte)(id >= FirstVirtualId ? 1 : 0));
        return Completed(descriptor);
    }

    private IEnumerable<nint> Plans(nint handle, nint graph)
    {
        var cudnn = Cudnn.Instance;
        foreach (var mode in HeuristicsModes)
        {
            var heuristics = New(CudnnDescriptor.EngineHeuristics);
            Set(heuristics, CudnnAttribute.HeuristicsGraph, CudnnType.Descriptor, graph);
            Set(heuristics, CudnnAttribute.HeuristicsMode, CudnnType.HeuristicsMode, mode);
            if (!cudnn.TryComplete(heuristics))
                continue;
            var configurations = new nint[cudnn.GetCount(heuristics, CudnnAttribute.HeuristicsResults, CudnnType.Descriptor)];
            for (var i = 0; i < configurations.Length; i++)
                configurations[i] = New(CudnnDescriptor.EngineConfiguration);
            cudnn.Get<nint>(heuristics, CudnnAttribute.HeuristicsResults, CudnnType.Descriptor, configurations);
            foreach (var configuration in configurations)
            {
                var plan = New(CudnnDescriptor.ExecutionPlan);
                Set(plan, CudnnAttribute.PlanHandle, CudnnType.Handle, handle);
                Set(plan, CudnnAttribute.PlanConfiguration, CudnnType.Descriptor, configuration);
                if (cudnn.TryComplete(plan))
                    yield return plan;
            }
        }
    }

    private (nint Plan, long WorkspaceSize) Fastest(
        CudnnHandle handle, KernelContext context, IEnumerable<nint> plans, in ConvolutionMemory memory)
    {
        (nint Plan, long WorkspaceSize) best = default;
        var least = float.PositiveInfinity;
        Span<long> size = stackalloc long[1];
        foreach (var plan in plans.Take(MostCandidates))
        {
            Cudnn.Instance.Get(plan, CudnnAttribute.PlanWorkspaceSize, CudnnType.Int64, size);
            if (size[0] > LargestWorkspace)
                continue;
            using var workspace = context.Allocate(size[0]);
            var pack = Pack(memory, workspace.Data);
            if (Cudnn.Instance.TryExecute(handle.Value, plan, pack))
            {
                using var watch = new CudaStopwatch(context.Stream);
                for (var run = 0; run < MeasuredRuns; run++)
                    Cudnn.Instance.Execute(handle.Value, plan, pack);
                var time = watch.Elapsed;
                if (time < least)
                    (least, best) = (time, (plan, size[0]));
            }
            Cudnn.Instance.DestroyDescriptor(pack);
        }
        return best.Plan != 0 ? best : throw new KernelException($"cuDNN has no plan for the convolution {_sizes}");
    }

    private nint Pack(in ConvolutionMemory memory, void* workspace)
    {
        var cudnn = Cudnn.Instance;
        Span<nint> pointers = stackalloc nint[_ids.Length];
        for (var i = 0; i < pointers.Length; i++)
        {
            pointers[i] = (nint)(_ids[i] switch
            {
                XId => memory.X,
                WeightId => memory.Weight,
                BiasId => memory.Bias,
                ResidualId => memory.Residual,
                _ => memory.Y,
            });
        }
        var pack = cudnn.CreateDescriptor(CudnnDescriptor.VariantPack);
        cudnn.Set<nint>(pack, CudnnAttribute.PackPointers, CudnnType.Pointer, pointers);
        cudnn.Set<long>(pack, CudnnAttribute.PackIds, CudnnType.Int64, _ids);
        cudnn.Set(pack, CudnnAttribute.PackWorkspace, CudnnType.Pointer, (nint)workspace);
        cudnn.Complete(pack, "completing a variant pack");
        return pack;
    }

    private static nint New(CudnnDescriptor type) => Cudnn.Instance.CreateDescriptor(type);

    private nint Completed(nint descriptor)
    {
        Cudnn.Instance.Complete(descriptor, $"describing the convolution {_sizes}");
        return descriptor;
    }

    private static void Set<T>(nint descriptor, CudnnAttribute attribute, CudnnType type, params ReadOnlySpan<T> values)
        where T : unmanaged => Cudnn.Instance.Set(descriptor, attribute, type, values);
}
