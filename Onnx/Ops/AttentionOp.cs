using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.Attention.Onnx.Training;

namespace Microsoft.ML.Attention.Onnx.Ops;

/// <summary>
/// An operator of the domain <c>ml.attention</c>. Its function body in standard operators is its definition and runs everywhere; its
/// kernels make it fast where this library is loaded; its gradient makes it trainable. To add an operator, derive from this class in
/// one file and list it in <see cref="AttentionOps"/>.
/// </summary>
public abstract class AttentionOp
{
    /// <summary>The domain of all operators here.</summary>
    public const string Domain = "ml.attention";

    private Function? _function;

    /// <summary>The operator's name: the class's name.</summary>
    public string Name => GetType().Name;

    /// <summary>The definition in standard operators.</summary>
    public Function Function => _function ??= CreateFunction();

    /// <summary>The kernels, one for each execution provider and element type.</summary>
    internal virtual IEnumerable<Kernel> Kernels => [];

    /// <summary>The name and parameters as kernels see them, all of the kernel's element type.</summary>
    private protected KernelSignature Signature => new(
        Name,
        [.. Function.Body.Inputs.Select(input => new KernelParameter(input))],
        [.. Function.Body.Outputs.Select(output => new KernelParameter(output) { Optional = true })]);

    /// <summary>Builds the definition in standard operators.</summary>
    protected abstract Function CreateFunction();

    /// <summary>Whether an input is in single precision even where the operator computes in half.</summary>
    internal virtual bool KeepsSingle(int input) => false;

    /// <summary>Whether sessions on CUDA run the kernel for the CPU too, as for work that is done step by step.</summary>
    internal virtual bool RunsOnHost => false;

    /// <summary>Whether the operator brings a gradient of its own; else calls are differentiated through the definition.</summary>
    internal virtual bool HasGradient => false;

    /// <summary>The gradients of the inputs of a call, null where there is none.</summary>
    internal virtual Value?[] Gradient(NodeGradient node) =>
        throw new NotSupportedException($"{Name} is differentiated through its definition.");

    /// <summary>The types and shapes of the outputs of a node, from those of its inputs.</summary>
    internal abstract ValueInfo[] InferOutputs(Node node, ValueInfo[] inputs);
}

/// <summary>The operators of the domain <c>ml.attention</c>.</summary>
public static class AttentionOps
{
    /// <summary>All operators.</summary>
    public static IReadOnlyList<AttentionOp> All { get; } =
    [
        new BiLevelRoutingAttention(),
        new BiLevelRoutingAttentionGrad(),
        new BoxRelativeAttention(),
        new BoxRelativeAttentionGrad(),
        new AdamWStep(),
        new AffineSum(),
        new BiasGelu(),
        new BiasGeluGrad(),
        new BiasGrad(),
        new BatchNormalizationGrad(),
        new BatchNormalizationTraining(),
        new ConsistentSelfAttention(),
        new ConsistentSelfAttentionGrad(),
        new ChannelsLastConv(),
        new ChannelsLastDepthwiseConv(),
        new ChannelsLastMaxPool(),
        new CosineSelfAttention(),
        new CosineWindowAttention(),
        new DepthwiseConv(),
        new DropPath(),
        new EfficientLocalAttention(),
        new EfficientLocalAttentionGrad(),
        new GeluGrad(),
        new GlobalDynamicConvolution(),
        new GroupedConvWeightGrad(),
        new GroupNorm(),
        new GroupNormGrad(),
        new LayerNormalizationGrad(),
        new LinearAssignment(),
        new MultiHeadAttention(),
        new MultiHeadAttentionGrad(),
        new MultiHeadSelfAttention(),
        new MultiHeadSelfAttentionGrad(),
        new RaftMixing(),
        new RaftMixingGrad(),
        new RaftResidual(),
        new RaftResidualGrad(),
        new RaftTokens(),
        new RaftTokensGrad(),
        new SelfCalibratedCrossAttention(),
        new SelfCalibratedCrossAttentionGrad(),
        new SoftmaxGrad(),
        new StopGradient(),
        new WindowMerge(),
        new WindowPartition(),
        new ZeroPad(),
    ];

    /// <summary>The operator that a node calls, or null if it is of another domain or unknown.</summary>
    public static AttentionOp? Find(Node node) =>
        node.Domain == AttentionOp.Domain ? All.FirstOrDefault(op => op.Name == node.OpType) : null;

    /// <summary>Adds to a model the functions of all operators that it calls, and the operator sets.</summary>
    internal static OnnxModel Complete(OnnxModel model)
    {
        var called = new Queue<Node>(model.Graph.Nodes.Concat(model.Functions.SelectMany(function => function.Body.Nodes)));
        while (called.TryDequeue(out var node))
        {
            if (node.Domain.Length == 0)
                continue;
            model.Opsets[node.Domain] = 1;
            if (Find(node) is not { } op || model.Functions.Any(known => known.Name == op.Name && known.Domain == AttentionOp.Domain))
                continue;
            model.Functions.Add(op.Function);
            foreach (var inner in op.Function.Body.Nodes)
                called.Enqueue(inner);
        }
        return model;
    }
}
