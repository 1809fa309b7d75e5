using Microsoft.ML.Attention.Onnx.Ops;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Training;

/// <summary>
/// The gradient rules, one an operator. A rule gets a node and the gradients of its outputs and returns the gradients of its inputs,
/// null where there is none. Rules may emit more than is needed: what no output depends on is dropped from the graph.
/// </summary>
internal static class Gradients
{
    private static readonly Dictionary<string, Func<NodeGradient, Value?[]>> Rules = new(StringComparer.Ordinal)
    {
        // Elementwise, one input: g is the gradient of the output, x the input, y the output.
        ["Abs"] = Unary((g, x, y) => g * x.Apply("Sign")),
        ["Acos"] = Unary((g, x, y) => -(g / (1 - (x * x)).Apply("Sqrt"))),
        ["Asin"] = Unary((g, x, y) => g / (1 - (x * x)).Apply("Sqrt")),
        ["Atan"] = Unary((g, x, y) => g / ((x * x) + 1)),
        ["Ceil"] = Unary((g, x, y) => null),
        ["Cos"] = Unary((g, x, y) => -(g * x.Apply("Sin"))),
        ["Erf"] = Unary((g, x, y) => g * (-(x * x)).Apply("Exp") * (2 / Math.Sqrt(Math.PI))),
        ["Exp"] = Unary((g, x, y) => g * y),
        ["Floor"] = Unary((g, x, y) => null),
        ["HardSwish"] = Unary((g, x, y) => g * HardSwishSlope(x)),
        ["Log"] = Unary((g, x, y) => g / x),
        ["Mish"] = Unary((g, x, y) => g * MishSlope(x)),
        ["Neg"] = Unary((g, x, y) => -g),
        ["Reciprocal"] = Unary((g, x, y) => -(g * y * y)),
        ["Relu"] = Unary((g, x, y) => g.Where(IsPositive(y))),
        ["Round"] = Unary((g, x, y) => null),
        ["Sigmoid"] = Unary((g, x, y) => g * y * (1 - y)),
        ["Sign"] = Unary((g, x, y) => null),
        ["Sin"] = Unary((g, x, y) => g * x.Apply("Cos")),
        ["Softplus"] = Unary((g, x, y) => g * x.Apply("Sigmoid")),
        ["Softsign"] = Unary((g, x, y) => g / Square(x.Apply("Abs") + 1)),
        ["Sqrt"] = Unary((g, x, y) => g / (y * 2)),
        ["Tan"] = Unary((g, x, y) => g * ((y * y) + 1)),
        ["Tanh"] = Unary((g, x, y) => g * (1 - (y * y))),

        // Elementwise, one input and attributes.
        ["Celu"] = node => [node.Grad * (node.Input(0) / node.Attributes.Float("alpha", 1)).Apply("Exp").AtMost(1)],
        ["Clip"] = node => [node.Grad.Where(Builder(node).Op("Equal", [node.Input(0), node.Output(0)]))],
        ["Elu"] = node => [node.Grad * (IsPositive(node.Input(0)).Where(One(node), node.Output(0) + node.Attributes.Float("alpha", 1)))],
        ["Gelu"] = node =>
        [
            node.Attributes.String("approximate", "none") == "tanh"
                ? node.Grad * TanhGeluSlope(node.Input(0))
                : GeluGrad.Apply(node.Grad, node.Input(0)),
        ],
        ["HardSigmoid"] = node => [node.Grad.Where(IsBetween(node.Output(0), 0, 1)) * node.Attributes.Float("alpha", 0.2f)],
        ["LeakyRelu"] = node => [IsPositive(node.Input(0)).Where(node.Grad, node.Grad * node.Attributes.Float("alpha", 0.01f))],
        ["Selu"] = node => [node.Grad * SeluSlope(node)],
        ["ThresholdedRelu"] = node => [node.Grad.Where(IsPositive(node.Output(0)))],
        ["Dropout"] = Dropout,

        // Elementwise with broadcasting.
        ["Add"] = node => [node.SumTo(0, node.Grad), node.SumTo(1, node.Grad)],
        ["Sub"] = node => [node.SumTo(0, node.Grad), node.SumTo(1, -node.Grad)],
        ["Mul"] = node => [node.SumTo(0, node.Grad * node.Input(1)), node.SumTo(1, node.Grad * node.Input(0))],
        ["Div"] = node => [node.SumTo(0, node.Grad / node.Input(1)), node.SumTo(1, -(node.Grad * node.Output(0) / node.Input(1)))],
        ["Pow"] = Pow,
        ["PRelu"] = node =>
        [
            IsPositive(node.Input(0)).Where(node.Grad, node.Grad * node.Input(1)),
            node.SumTo(1, node.Grad * node.Input(0).AtMost(0)),
        ],
        ["Sum"] = node => ForEachInput(node, i => node.SumTo(i, node.Grad)),
        ["Mean"] = node => ForEachInput(node, i => node.SumTo(i, node.Grad / node.InputCount)),
        ["Max"] = Extremum,
        ["Min"] = Extremum,
        ["Where"] = node =>
        [
            null,
            node.SumTo(1, node.Grad.Where(node.Input(0))),
            node.SumTo(2, node.Input(0).Where(Builder(node).Scalar(0, node.Grad), node.Grad)),
        ],

        // The same elements in another type, shape or order.
        ["Cast"] = node => [node.Grad.Cast(node.Input(0).Type)],
        ["CastLike"] = node => [node.Grad.Cast(node.Input(0).Type), null],
        ["Identity"] = node => [node.Grad],
        ["Flatten"] = node => [node.ReshapeTo(0, node.Grad)],
        ["Reshape"] = node => [node.ReshapeTo(0, node.Grad), null],
        ["Squeeze"] = node => [node.ReshapeTo(0, node.Grad), null],
        ["Unsqueeze"] = node => [node.ReshapeTo(0, node.Grad), null],
        ["Transpose"] = IndexingGradients.Transpose,
        ["DepthToSpace"] = IndexingGradients.DepthToSpace,
        ["SpaceToDepth"] = IndexingGradients.SpaceToDepth,

        // Parts, joins and copies.
        ["Concat"] = IndexingGradients.Concat,
        ["Split"] = IndexingGradients.Split,
        ["Slice"] = IndexingGradients.Slice,
        ["Pad"] = IndexingGradients.Pad,
        ["Expand"] = node => [node.SumTo(0, node.Grad), null],
        ["Tile"] = IndexingGradients.Tile,
        ["Gather"] = IndexingGradients.Gather,
        ["GatherElements"] = IndexingGradients.GatherElements,
        ["GatherND"] = IndexingGradients.GatherND,
        ["ScatterElements"] = IndexingGradients.ScatterElements,
        ["ScatterND"] = IndexingGradients.ScatterND,
        ["TopK"] = IndexingGradients.TopK,
        ["Trilu"] = IndexingGradients.Trilu,

        // Products.
        ["MatMul"] = ProductGradients.MatMul,
        ["Gemm"] = ProductGradients.Gemm,
        ["Einsum"] = ProductGradients.Einsum,
        ["Conv"] = ConvolutionGradients.Conv,
        ["ConvTranspose"] = ConvolutionGradients.ConvTranspose,

        // Reductions along axes.
        ["ReduceSum"] = ReductionGradients.Of((g, x, y, count) => g),
        ["ReduceMean"] = ReductionGradients.Of((g, x, y, count) => g / count),
        ["ReduceL1"] = ReductionGradients.Of((g, x, y, count) => g * x.Apply("Sign")),
        ["ReduceL2"] = ReductionGradients.Of((g, x, y, count) => (g * x / y).Where(IsPositive(y))),
        ["ReduceSumSquare"] = ReductionGradients.Of((g, x, y, count) => g * x * 2),
        ["ReduceLogSum"] = ReductionGradients.Of((g, x, y, count) => g * (-y).Apply("Exp")),
        ["ReduceLogSumExp"] = ReductionGradients.Of((g, x, y, count) => g * (x - y).Apply("Exp")),
        ["ReduceMax"] = ReductionGradients.Extremum,
        ["ReduceMin"] = ReductionGradients.Extremum,
        ["ReduceProd"] = ReductionGradients.Product,
        ["CumSum"] = ReductionGradients.CumSum,

        // Windows over [N, C, ...].
        ["AveragePool"] = WindowGradients.AveragePool,
        ["MaxPool"] = WindowGradients.MaxPool,
        ["GlobalAveragePool"] = WindowGradients.GlobalAveragePool,
        ["GlobalMaxPool"] = WindowGradients.GlobalMaxPool,
        ["Resize"] = ResizeGradient.Resize,

        // Normalisations.
        ["Softmax"] = node => [SoftmaxGrad.Apply(node.Grad, node.Output(0), node.Axis(-1))],
        ["LogSoftmax"] = node => [node.Grad - (node.Output(0).Apply("Exp") * node.Grad.ReduceSum([node.Axis(-1)], keepDims: true))],
        ["LayerNormalization"] = NormalizationGradients.LayerNormalization,
        ["BatchNormalization"] = NormalizationGradients.BatchNormalization,
        ["InstanceNormalization"] = NormalizationGradients.InstanceNormalization,
        ["GroupNormalization"] = NormalizationGradients.GroupNormalization,
        ["LpNormalization"] = NormalizationGradients.LpNormalization,
    };

    /// <summary>The gradients of the inputs of a node.</summary>
    /// <exception cref="NotSupportedException">There is no rule for the operator, or none for the way it is used.</exception>
    public static Value?[] Of(NodeGradient node)
    {
        var gradients = AttentionOps.Find(node.Node) is { HasGradient: true } op ? op.Gradient(node)
            : node.Node.Domain.Length == 0 && Rules.TryGetValue(node.Node.OpType, out var rule) ? rule(node)
            : throw MissingRule(node.Node);
        return gradients.Length > node.InputCount ? gradients[..node.InputCount] : gradients;
    }

    private static NotSupportedException MissingRule(Node node)
    {
        var op = node.Domain.Length > 0 ? $"{node.Domain}::{node.OpType}" : node.OpType;
        return new($"There is no gradient rule for operator '{op}' (node '{node.Name}'), which lies between the loss and a trainable " +
            "parameter. Freeze the parameters before it, or add a rule.");
    }

    internal static Value Square(Value x) => x * x;

    /// <summary>The value where the condition holds, elsewhere zero.</summary>
    internal static Value Where(this Value value, Value condition) => condition.Where(value, value.Builder.Scalar(0, value));

    internal static Value IsPositive(Value x) => x.Builder.Op("Greater", [x, x.Builder.Scalar(0, x)]);

    private static Value AtMost(this Value x, double limit) => x.Builder.Op("Min", [x, x.Builder.Scalar(limit, x)]);

    private static Value IsBetween(Value x, double low, double high) => x.Builder.Op("And",
        [x.Builder.Op("Greater", [x, x.Builder.Scalar(low, x)]), x.Builder.Op("Less", [x, x.Builder.Scalar(high, x)])]);

    private static GraphBuilder Builder(NodeGradient node) => node.Builder;

    private static Value One(NodeGradient node) => node.Builder.Scalar(1, node.Grad);

    private static Func<NodeGradient, Value?[]> Unary(Func<Value, Value, Value, Value?> gradient) => node =>
        [gradient(node.Grad, node.Input(0), node.Output(0))];

    private static Value?[] ForEachInput(NodeGradient node, Func<int, Value> gradient) =>
        [.. Enumerable.Range(0, node.InputCount).Select(gradient)];

    // 0 below -3, 1 above 3, x / 3 + 1/2 between.
    private static Value HardSwishSlope(Value x)
    {
        var inside = IsBetween(x, -3, 3);
        return inside.Where((x / 3) + 0.5, IsPositive(x).Where(x.Builder.Scalar(1, x), x.Builder.Scalar(0, x)));
    }

    private static Value MishSlope(Value x)
    {
        var tanh = x.Apply("Softplus").Apply("Tanh");
        return tanh + (x * x.Apply("Sigmoid") * (1 - (tanh * tanh)));
    }

    private static Value TanhGeluSlope(Value x)
    {
        var c = Math.Sqrt(2 / Math.PI);
        var square = x * x;
        var tanh = (x * ((square * (0.044715 * c)) + c)).Apply("Tanh");
        return (tanh * 0.5) + 0.5 + (x * 0.5 * (1 - (tanh * tanh)) * ((square * (3 * 0.044715 * c)) + c));
    }

    private static Value SeluSlope(NodeGradient node)
    {
        var (alpha, gamma) = (node.Attributes.Float("alpha", 1.67326319f), node.Attributes.Float("gamma", 1.05070102f));
        return IsPositive(node.Input(0)).Where(node.Builder.Scalar(gamma, node.Grad), node.Output(0) + (alpha * gamma));
    }

    private static Value?[] Pow(NodeGradient node)
    {
        var (g, x, p) = (node.Grad, node.Input(0), node.Input(1));
        var slope = ConstantScalar(node, 1) == 2 ? x * 2 : p.Cast(x.Type) * x.Builder.Op("Pow", [x, p - 1]);
        return [node.SumTo(0, g * slope), node.SumTo(1, g * node.Output(0) * x.Apply("Log")).Cast(p.Type)];
    }

    private static double? ConstantScalar(NodeGradient node, int input)
    {
        if (!node.Builder.Graph.Initializers.TryGetValue(node.Node.Inputs[input], out var tensor) || tensor.ElementCount != 1)
            return null;
        return tensor.Type switch
        {
            TensorElementType.Float => tensor.AsSpan<float>()[0],
            TensorElementType.Double => tensor.AsSpan<double>()[0],
            TensorElementType.Float16 => (double)tensor.AsSpan<Half>()[0],
            TensorElementType.Int64 or TensorElementType.Int32 => tensor.ToInt64()[0],
            _ => null,
        };
    }

    // Inputs that share the extreme value share the gradient.
    private static Value?[] Extremum(NodeGradient node)
    {
        var chosen = Enumerable.Range(0, node.InputCount)
            .Select(i => node.Builder.Op("Equal", [node.Input(i), node.Output(0)]).Cast(node.Grad.Type)).ToArray();
        var share = chosen.Length == 1 ? node.Grad : node.Grad / chosen.Aggregate((sum, one) => sum + one);
        return ForEachInput(node, i => node.SumTo(i, share * chosen[i]));
    }

    // In training mode the mask output says what was kept.
    private static Value?[] Dropout(NodeGradient node)
    {
        if (!node.HasInput(2))
            return [node.Grad, null, null];
        var keep = 1 - (node.HasInput(1) ? node.Input(1).Cast(node.Grad.Type) : node.Builder.Scalar(0.5, node.Grad));
        return [node.Grad.Where(node.Output(1)) / keep, null, null];
    }
}
