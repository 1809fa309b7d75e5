using Microsoft.ML.Attention.Onnx.Ops;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Tests.Training;

/// <summary>Evaluates graphs of standard operators in double precision by plain loops: slow, and simple enough to be believed.</summary>
internal static partial class ReferenceEvaluator
{
    /// <summary>A copy of the graph of a model with all functions replaced by their bodies.</summary>
    public static Graph Expand(OnnxModel model)
    {
        var graph = OnnxModel.Load(model.ToBytes()).Graph;
        Inliner.Inline(graph, [.. model.Functions, .. AttentionOps.All.Select(op => op.Function)], _ => true);
        return graph;
    }

    /// <summary>The outputs of a graph without functions by name.</summary>
    public static Dictionary<string, ReferenceArray> Run(Graph graph, IReadOnlyDictionary<string, ReferenceArray> inputs)
    {
        var values = new Dictionary<string, ReferenceArray>(StringComparer.Ordinal);
        foreach (var (name, tensor) in graph.Initializers)
            values[name] = ReferenceArray.Of(tensor);
        foreach (var name in graph.Inputs)
            values[name] = inputs[name];
        foreach (var node in graph.Nodes)
        {
            var arguments = new Call(node, [.. node.Inputs.Select(name => name.Length == 0 ? null : values[name])]);
            var results = Evaluate(arguments);
            for (var i = 0; i < node.Outputs.Count; i++)
                values[node.Outputs[i]] = results[i];
        }
        return graph.Outputs.ToDictionary(name => name, name => values[name]);
    }

    private sealed record Call(Node Node, ReferenceArray?[] Inputs)
    {
        public Attributes Attributes => Node.Attributes;

        public bool Has(int index) => index < Inputs.Length && Inputs[index] is not null;

        public ReferenceArray this[int index] => Inputs[index]!;

        public int[]? Ints(string attribute, int input) =>
            Attributes.Ints(attribute) is { } values ? Array.ConvertAll(values, Clamp)
            : Has(input) ? Array.ConvertAll(this[input].Data, x => Clamp((long)Math.Clamp(x, int.MinValue, int.MaxValue)))
            : null;

        public int Axis(long defaultAxis, int rank) => Wrap((int)Attributes.Int("axis", defaultAxis), rank);

        private static int Clamp(long value) => (int)Math.Clamp(value, int.MinValue, int.MaxValue);
    }

    private static int Wrap(int axis, int rank) => axis < 0 ? axis + rank : axis;

    private static ReferenceArray[] Evaluate(Call call)
    {
        var (op, attributes) = (call.Node.OpType, call.Attributes);
        if (Unary(op, attributes) is { } unary)
            return [new(Array.ConvertAll(call[0].Data, x => unary(x)), call[0].Dims, call[0].Type)];
        if (Binary(op) is { } binary)
            return [call.Inputs.Skip(1).Aggregate(call[0], (left, right) => Elementwise(left, right!, binary, IsPredicate(op)))];
        switch (op)
        {
            case "Constant": return [Constant(attributes)];
            case "ConstantOfShape": return [ConstantOfShape(call)];
            case "Mean": return [Scale(call.Inputs.Skip(1).Aggregate(call[0], (x, y) => Elementwise(x, y!, (a, b) => a + b)),
                1.0 / call.Inputs.Length)];
            case "Clip": return [Clip(call)];
            case "Where": return [Where(call[0], call[1], call[2])];
            case "Cast": return [Cast(call[0], (TensorElementType)attributes.Int("to"))];
            case "CastLike": return [Cast(call[0], call[1].Type)];
            case "Identity" or "Dropout": return [call[0]];
            case "Shape":
                var dims = call[0].Dims[Wrap((int)attributes.Int("start", 0), call[0].Rank)..(int)attributes.Int("end", call[0].Rank)];
                return [Int64(dims)];
            case "Range": return [Range(call)];
            case "NonZero":
                var places = call[0].Data.Index().Where(element => element.Item != 0).Select(element => (double)element.Index).ToArray();
                return [new(places, [1, places.Length], TensorElementType.Int64)];
            case "Reshape": return [Reshape(call)];
            case "Flatten":
                var split = Wrap((int)attributes.Int("axis", 1), call[0].Rank);
                return [call[0].Reshape(ReferenceArray.Count(call[0].Dims[..split]), ReferenceArray.Count(call[0].Dims[split..]))];
            case "Squeeze": return [Squeeze(call)];
            case "Unsqueeze": return [Unsqueeze(call)];
            case "Transpose": return [call[0].Transpose(call.Ints("perm", 9) ?? [.. Enumerable.Range(0, call[0].Rank).Reverse()])];
            case "Concat": return [Concat(call)];
            case "Split": return Split(call);
            case "Slice": return [Slice(call)];
            case "Pad": return [Pad(call)];
            case "Expand": return [Expand(call[0], call.Ints("", 1)!)];
            case "Tile": return [Tile(call[0], call.Ints("", 1)!)];
            case "Gather": return [Gather(call)];
            case "GatherElements": return [GatherElements(call)];
            case "GatherND": return [GatherND(call)];
            case "ScatterElements": return [ScatterElements(call)];
            case "ScatterND": return [ScatterND(call)];
            case "TopK": return TopK(call);
            case "Trilu": return [Trilu(call)];
            case "DepthToSpace" or "SpaceToDepth": return [Blocks(call)];
            case "CumSum": return [CumSum(call)];
            case "MatMul": return [MatMul(call[0], call[1])];
            case "Gemm": return [Gemm(call)];
            case "Einsum": return [Einsum(call)];
            case "Conv": return [Conv(call)];
            case "ConvTranspose": return [ConvTranspose(call)];
            case "MaxPool" or "AveragePool": return Pool(call);
            case "GlobalAveragePool": return [Reduce("ReduceMean", call[0], [.. Enumerable.Range(2, call[0].Rank - 2)], true)];
            case "GlobalMaxPool": return [Reduce("ReduceMax", call[0], [.. Enumerable.Range(2, call[0].Rank - 2)], true)];
            case "Resize": return [Resize(call)];
            case "Softmax" or "LogSoftmax": return [Softmax(call)];
            case "LayerNormalization": return [LayerNormalization(call)];
            case "BatchNormalization": return [BatchNormalization(call)];
            case "InstanceNormalization": return [GroupNormalization(call, call[0].Dims[1])];
            case "GroupNormalization": return [GroupNormalization(call, (int)attributes.Int("num_groups"))];
            case "LpNormalization":
                var norm = Reduce(attributes.Int("p", 2) == 1 ? "ReduceL1" : "ReduceL2", call[0], [call.Axis(-1, call[0].Rank)], true);
                return [Elementwise(call[0], norm, (x, n) => x / n)];
            case var _ when op.StartsWith("Reduce", StringComparison.Ordinal):
                var axes = call.Ints("axes", 1) is { Length: > 0 } given ? given
                    : attributes.Int("noop_with_empty_axes", 0) != 0 ? [] : [.. Enumerable.Range(0, call[0].Rank)];
                return [Reduce(op, call[0], axes, attributes.Int("keepdims", 1) != 0)];
            default: throw new NotSupportedException($"The reference evaluator does not know '{call.Node}'.");
        }
    }

    private static Func<double, double>? Unary(string op, Attributes attributes)
    {
        var alpha = attributes.Contains("alpha") ? attributes.Float("alpha", 0) : (double?)null;
        switch (op)
        {
            case "Abs": return Math.Abs;
            case "Acos": return Math.Acos;
            case "Asin": return Math.Asin;
            case "Atan": return Math.Atan;
            case "Ceil": return Math.Ceiling;
            case "Celu": return x => Math.Max(0, x) + Math.Min(0, (alpha ?? 1) * (Math.Exp(x / (alpha ?? 1)) - 1));
            case "Cos": return Math.Cos;
            case "Elu": return x => x > 0 ? x : (alpha ?? 1) * (Math.Exp(x) - 1);
            case "Erf": return Erf;
            case "Exp": return Math.Exp;
            case "Floor": return Math.Floor;
            case "Gelu" when attributes.String("approximate", "none") == "tanh":
                return x => 0.5 * x * (1 + Math.Tanh(Math.Sqrt(2 / Math.PI) * (x + (0.044715 * x * x * x))));
            case "Gelu": return x => 0.5 * x * (1 + Erf(x / Math.Sqrt(2)));
            case "HardSigmoid": return x => Math.Clamp(((alpha ?? 0.2f) * x) + attributes.Float("beta", 0.5f), 0, 1);
            case "HardSwish": return x => x * Math.Clamp((x / 6) + 0.5, 0, 1);
            case "LeakyRelu": return x => x > 0 ? x : (alpha ?? 0.01f) * x;
            case "Log": return Math.Log;
            case "Mish": return x => x * Math.Tanh(Math.Log(1 + Math.Exp(x)));
            case "Neg": return x => -x;
            case "Not": return x => 1 - x;
            case "Reciprocal": return x => 1 / x;
            case "Relu": return x => Math.Max(0, x);
            case "Round": return x => Math.Round(x, MidpointRounding.ToEven);
            case "Selu":
                var gamma = attributes.Float("gamma", 1.05070102f);
                return x => gamma * (x > 0 ? x : (alpha ?? 1.67326319f) * (Math.Exp(x) - 1));
            case "Sigmoid": return x => 1 / (1 + Math.Exp(-x));
            case "Sign": return x => Math.Sign(x);
            case "Sin": return Math.Sin;
            case "Softplus": return x => Math.Log(1 + Math.Exp(x));
            case "Softsign": return x => x / (1 + Math.Abs(x));
            case "Sqrt": return Math.Sqrt;
            case "Tan": return Math.Tan;
            case "Tanh": return Math.Tanh;
            case "ThresholdedRelu": return x => x > (alpha ?? 1) ? x : 0;
            default: return null;
        }
    }

    private static Func<double, double, double>? Binary(string op) => op switch
    {
        "Add" or "Sum" => (x, y) => x + y,
        "Sub" => (x, y) => x - y,
        "Mul" => (x, y) => x * y,
        "Div" => (x, y) => x / y,
        "Pow" => Math.Pow,
        "Max" => Math.Max,
        "Min" => Math.Min,
        "PRelu" => (x, slope) => x > 0 ? x : x * slope,
        "Equal" => (x, y) => x == y ? 1 : 0,
        "Greater" => (x, y) => x > y ? 1 : 0,
        "GreaterOrEqual" => (x, y) => x >= y ? 1 : 0,
        "Less" => (x, y) => x < y ? 1 : 0,
        "LessOrEqual" => (x, y) => x <= y ? 1 : 0,
        "And" => (x, y) => x * y,
        "Or" => Math.Max,
        _ => null,
    };

    private static bool IsPredicate(string op) => op is "Equal" or "Greater" or "GreaterOrEqual" or "Less" or "LessOrEqual";

    // The series converges for all arguments; it is accurate in double where arguments are small, as they are in tests.
    private static double Erf(double x)
    {
        if (Math.Abs(x) > 5)
            return Math.Sign(x);
        var (term, sum) = (x, x);
        for (var n = 1; n < 200; n++)
        {
            term *= -x * x / n;
            sum += term / ((2 * n) + 1);
        }
        return 2 / Math.Sqrt(Math.PI) * sum;
    }

    private static int[] BroadcastDims(int[] left, int[] right)
    {
        var rank = Math.Max(left.Length, right.Length);
        var dims = new int[rank];
        for (var i = 1; i <= rank; i++)
        {
            var (x, y) = (i <= left.Length ? left[^i] : 1, i <= right.Length ? right[^i] : 1);
            dims[^i] = x == 1 ? y : x;
        }
        return dims;
    }

    private static ReferenceArray Elementwise(ReferenceArray left, ReferenceArray right, Func<double, double, double> f,
        bool isPredicate = false) =>
        ReferenceArray.Build(BroadcastDims(left.Dims, right.Dims), isPredicate ? TensorElementType.Bool : left.Type, index =>
        {
            var result = f(left.Broadcast(index), right.Broadcast(index));
            return left.IsInteger && !isPredicate ? Math.Truncate(result) : result;
        });

    private static ReferenceArray Scale(ReferenceArray x, double factor) =>
        x with { Data = Array.ConvertAll(x.Data, value => value * factor) };

    private static ReferenceArray Clip(Call call)
    {
        var low = call.Has(1) ? call[1].Data[0] : double.NegativeInfinity;
        var high = call.Has(2) ? call[2].Data[0] : double.PositiveInfinity;
        return call[0] with { Data = Array.ConvertAll(call[0].Data, x => Math.Min(high, Math.Max(low, x))) };
    }

    private static ReferenceArray Where(ReferenceArray condition, ReferenceArray x, ReferenceArray y) =>
        ReferenceArray.Build(BroadcastDims(condition.Dims, BroadcastDims(x.Dims, y.Dims)), x.Type,
            index => condition.Broadcast(index) != 0 ? x.Broadcast(index) : y.Broadcast(index));

    private static ReferenceArray Cast(ReferenceArray x, TensorElementType type) =>
        new(type is TensorElementType.Int64 or TensorElementType.Int32 ? Array.ConvertAll(x.Data, Math.Truncate) : x.Data, x.Dims, type);

    private static ReferenceArray Int64(params int[] values) =>
        new(Array.ConvertAll(values, x => (double)x), [values.Length], TensorElementType.Int64);

    private static ReferenceArray Constant(Attributes attributes)
    {
        var (_, value) = attributes.Single();
        return value switch
        {
            Tensor tensor => ReferenceArray.Of(tensor),
            long number => new([number], [], TensorElementType.Int64),
            float number => new([number], [], TensorElementType.Float),
            long[] numbers => Int64(Array.ConvertAll(numbers, x => (int)x)),
            _ => throw new NotSupportedException($"constant {value}"),
        };
    }

    private static ReferenceArray ConstantOfShape(Call call)
    {
        var fill = call.Attributes.Contains("value") ? ReferenceArray.Of((Tensor)call.Attributes["value"])
            : new([0], [1], TensorElementType.Float);
        return ReferenceArray.Build(call.Ints("", 0)!, fill.Type, _ => fill.Data[0]);
    }

    private static ReferenceArray Range(Call call)
    {
        var (start, limit, delta) = (call[0].Data[0], call[1].Data[0], call[2].Data[0]);
        var count = Math.Max(0, (int)Math.Ceiling((limit - start) / delta));
        return ReferenceArray.Build([count], call[0].Type, index => start + (index[0] * delta));
    }

    private static ReferenceArray Reduce(string op, ReferenceArray x, int[] axes, bool keepDims)
    {
        var reduced = axes.Select(axis => Wrap(axis, x.Rank)).ToHashSet();
        var kept = x.Dims.Select((dim, axis) => reduced.Contains(axis) ? 1 : dim).ToArray();
        var groups = ReferenceArray.Build(kept, x.Type, _ => 0);
        var members = new List<double>[groups.Data.Length];
        var target = new int[x.Rank];
        var i = 0;
        foreach (var index in ReferenceArray.Indices(x.Dims))
        {
            for (var axis = 0; axis < x.Rank; axis++)
                target[axis] = reduced.Contains(axis) ? 0 : index[axis];
            (members[groups.Offset(target)] ??= []).Add(x.Data[i++]);
        }
        Func<List<double>, double> f = op switch
        {
            "ReduceSum" => values => values.Sum(),
            "ReduceMean" => values => values.Average(),
            "ReduceMax" => values => values.Max(),
            "ReduceMin" => values => values.Min(),
            "ReduceProd" => values => values.Aggregate(1.0, (product, value) => product * value),
            "ReduceL1" => values => values.Sum(Math.Abs),
            "ReduceL2" => values => Math.Sqrt(values.Sum(value => value * value)),
            "ReduceSumSquare" => values => values.Sum(value => value * value),
            "ReduceLogSum" => values => Math.Log(values.Sum()),
            "ReduceLogSumExp" => values => values.Max() + Math.Log(values.Sum(value => Math.Exp(value - values.Max()))),
            _ => throw new NotSupportedException(op),
        };
        var dims = keepDims ? kept : [.. x.Dims.Where((_, axis) => !reduced.Contains(axis))];
        return new(Array.ConvertAll(members, values => f(values)), dims, x.Type);
    }

    private static ReferenceArray CumSum(Call call)
    {
        var x = call[0];
        var axis = Wrap((int)call[1].Data[0], x.Rank);
        var exclusive = call.Attributes.Int("exclusive", 0) != 0;
        var reverse = call.Attributes.Int("reverse", 0) != 0;
        return ReferenceArray.Build(x.Dims, x.Type, index =>
        {
            var (sum, at, other) = (0.0, index[axis], (int[])index.Clone());
            for (other[axis] = 0; other[axis] < x.Dims[axis]; other[axis]++)
            {
                var before = reverse ? other[axis] > at : other[axis] < at;
                if (before || (!exclusive && other[axis] == at))
                    sum += x[other];
            }
            return sum;
        });
    }

    private static ReferenceArray Softmax(Call call)
    {
        var x = call[0];
        var logSum = Reduce("ReduceLogSumExp", x, [call.Axis(-1, x.Rank)], true);
        return Elementwise(x, logSum, (value, total) => call.Node.OpType == "Softmax" ? Math.Exp(value - total) : value - total);
    }

    private static ReferenceArray LayerNormalization(Call call)
    {
        var x = call[0];
        var axes = Enumerable.Range(0, x.Rank).Skip(call.Axis(-1, x.Rank)).ToArray();
        return Affine(Normalized(x, axes, call.Attributes.Float("epsilon", 1e-5f)), call[1], call.Has(2) ? call[2] : null);
    }

    private static ReferenceArray BatchNormalization(Call call)
    {
        var x = call[0];
        var epsilon = call.Attributes.Float("epsilon", 1e-5f);
        int[] perChannel = [-1, .. Enumerable.Repeat(1, x.Rank - 2)];
        perChannel[0] = x.Dims[1];
        var normalized = call.Attributes.Int("training_mode", 0) != 0
            ? Normalized(x, [0, .. Enumerable.Range(2, x.Rank - 2)], epsilon)
            : Elementwise(
                Elementwise(x, call[3].Reshape(perChannel), (a, b) => a - b),
                call[4].Reshape(perChannel),
                (a, b) => a / Math.Sqrt(b + epsilon));
        return Affine(normalized, call[1].Reshape(perChannel), call[2].Reshape(perChannel));
    }

    // The scale has one element a channel, or one a group.
    private static ReferenceArray GroupNormalization(Call call, int groups)
    {
        var x = call[0];
        int[] split = [x.Dims[0], groups, x.Dims[1] / groups, ReferenceArray.Count(x.Dims[2..])];
        int[] scale = [groups, call[1].Data.Length / groups, 1];
        return Affine(Normalized(x.Reshape(split), [2, 3], call.Attributes.Float("epsilon", 1e-5f)), call[1].Reshape(scale),
            call[2].Reshape(scale)).Reshape(x.Dims);
    }

    private static ReferenceArray Normalized(ReferenceArray x, int[] axes, double epsilon)
    {
        var centered = Elementwise(x, Reduce("ReduceMean", x, axes, true), (a, b) => a - b);
        var variance = Reduce("ReduceMean", Elementwise(centered, centered, (a, b) => a * b), axes, true);
        return Elementwise(centered, variance, (a, b) => a / Math.Sqrt(b + epsilon));
    }

    private static ReferenceArray Affine(ReferenceArray x, ReferenceArray scale, ReferenceArray? bias)
    {
        var scaled = Elementwise(x, scale, (a, b) => a * b);
        return bias is null ? scaled : Elementwise(scaled, bias, (a, b) => a + b);
    }
}
