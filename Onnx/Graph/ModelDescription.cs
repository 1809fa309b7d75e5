using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.Attention.Onnx.Ops;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx;

/// <summary>The weights of one module of a model and of one element type.</summary>
/// <param name="Module">The beginning of their names, such as <c>stages.0</c> or <c>head</c>.</param>
/// <param name="Type">The element type.</param>
/// <param name="TensorCount">The number of tensors.</param>
/// <param name="ElementCount">The number of elements in them.</param>
public sealed record ParameterGroup(string Module, TensorElementType Type, int TensorCount, long ElementCount);

/// <summary>The calls of one operator in a model.</summary>
/// <param name="Domain">The operator's domain; empty for the standard one.</param>
/// <param name="OpType">The operator.</param>
/// <param name="CallCount">The number of nodes that call it.</param>
/// <param name="Macs">Their multiplications with additions, those inside the operator's definition included.</param>
public sealed record OperatorUse(string Domain, string OpType, int CallCount, long Macs)
{
    /// <summary>Whether this library has a kernel for the CPU.</summary>
    public bool HasCpuKernel => HasKernel(KernelProvider.Cpu);

    /// <summary>Whether this library has a kernel for CUDA.</summary>
    public bool HasCudaKernel => HasKernel(KernelProvider.Cuda);

    private bool HasKernel(KernelProvider provider) =>
        AttentionOps.All.FirstOrDefault(op => Domain == AttentionOp.Domain && op.Name == OpType)
            ?.Kernels.Any(kernel => kernel.Provider == provider) ?? false;
}

/// <summary>What a model takes, gives, holds and computes.</summary>
public sealed class ModelDescription
{
    private ModelDescription(Graph graph, IReadOnlyList<Function> functions)
    {
        Inputs = [.. graph.Inputs.Select(name => KeyValuePair.Create(name, graph.Info(name)))];
        Outputs = [.. graph.Outputs.Select(name => KeyValuePair.Create(name, graph.Info(name)))];

        var statistics = graph.Nodes.Where(node => node is { OpType: "BatchNormalization", Domain: "" })
            .SelectMany(node => node.Inputs.Skip(3).Take(2)).ToHashSet(StringComparer.Ordinal);
        var weights = graph.Initializers.Where(pair => Graph.IsWeight(pair.Key, pair.Value)).ToArray();
        StatisticCount = weights.Where(pair => statistics.Contains(pair.Key)).Sum(pair => pair.Value.ElementCount);
        Parameters = [.. weights.Where(pair => !statistics.Contains(pair.Key))
            .GroupBy(pair => (Module: ModuleOf(pair.Key), pair.Value.Type))
            .Select(group => new ParameterGroup(
                group.Key.Module, group.Key.Type, group.Count(), group.Sum(pair => pair.Value.ElementCount)))];

        var macs = new MacCounter(functions);
        Operators = [.. graph.Nodes.GroupBy(node => (node.Domain, node.OpType))
            .Select(group => new OperatorUse(
                group.Key.Domain, group.Key.OpType, group.Count(), group.Sum(node => macs.Of(graph, node))))
            .OrderBy(use => use.Domain, StringComparer.Ordinal).ThenBy(use => use.OpType, StringComparer.Ordinal)];
        UncountedNodes = macs.Uncounted;
    }

    /// <summary>The inputs in their order; axes that the model leaves open have the sizes that the description was made for.</summary>
    public IReadOnlyList<KeyValuePair<string, ValueInfo>> Inputs { get; }

    /// <summary>The outputs in their order.</summary>
    public IReadOnlyList<KeyValuePair<string, ValueInfo>> Outputs { get; }

    /// <summary>
    /// The floating-point weights by module and type. Scalars and constants that this library makes are not among them, nor are
    /// <see cref="StatisticCount"/>.
    /// </summary>
    public IReadOnlyList<ParameterGroup> Parameters { get; }

    /// <summary>The number of elements of all <see cref="Parameters"/>.</summary>
    public long ParameterCount => Parameters.Sum(group => group.ElementCount);

    /// <summary>The number of running means and variances of batch normalisations, which are not trained.</summary>
    public long StatisticCount { get; }

    /// <summary>The operators that the model's nodes call, with what they cost.</summary>
    public IReadOnlyList<OperatorUse> Operators { get; }

    /// <summary>
    /// Multiplications with additions of matrix products and convolutions in one run, which papers call MACs and often FLOPs.
    /// </summary>
    public long Macs => Operators.Sum(use => use.Macs);

    /// <summary>Products and convolutions that <see cref="Macs"/> lacks because their sizes are not known.</summary>
    public IReadOnlyList<string> UncountedNodes { get; }

    /// <summary>Describes a model.</summary>
    /// <param name="model">The model.</param>
    /// <param name="inputShapes">
    /// Shapes of inputs by name, for those whose axes the model leaves open. Of others the first axis is taken to be 1.
    /// </param>
    /// <exception cref="InvalidDataException">The shapes of the model contradict each other, or the given ones.</exception>
    /// <exception cref="NotSupportedException">The model is of an operator set older than 13 or newer than 20.</exception>
    public static ModelDescription Of(OnnxModel model, IReadOnlyDictionary<string, Shape>? inputShapes = null)
    {
        ArgumentNullException.ThrowIfNull(model);
        var graph = model.Graph.Clone();
        OpsetUpgrade.Apply(graph, model.Opsets.GetValueOrDefault("", OnnxModel.DefaultOpset));
        graph.Values.Clear();
        foreach (var name in graph.Inputs)
            graph.Values[name] = WithShape(name, model.Graph.Info(name), inputShapes?.GetValueOrDefault(name));
        try
        {
            ShapeInference.Infer(graph, model.Functions);
            return new(graph, model.Functions);
        }
        catch (InvalidOperationException error)
        {
            throw new InvalidDataException($"The shapes in graph '{graph.Name}' contradict each other: {error.Message}", error);
        }
    }

    private static ValueInfo WithShape(string name, ValueInfo info, Shape? given)
    {
        if (given is null)
            return info.Shape is { Rank: > 0 } open && !open[0].IsKnown ? info with { Shape = open.With(0, 1) } : info;
        if (info.Shape is { } shape && (shape.Rank != given.Rank || shape.Zip(given).Any(axes => axes.First.IsKnown && axes.First != axes.Second)))
            throw new InvalidDataException($"Input '{name}' takes {shape}, not {given}.");
        return info with { Shape = given };
    }

    // 'stages.0.1.attn.wo.weight' is in 'stages.0', 'head.weight' in 'head', 'cls_token' in itself.
    private static string ModuleOf(string name)
    {
        var path = name.Split('.');
        return path.Length > 2 && int.TryParse(path[1], out _) ? $"{path[0]}.{path[1]}" : path[0];
    }
}
