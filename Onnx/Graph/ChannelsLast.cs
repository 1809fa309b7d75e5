using Microsoft.ML.Attention.Onnx.Ops;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx;

/// <summary>
/// Rewrites a graph so that maps between convolutions have their channels last, as tensor cores want them. Convolutions take the residual
/// sum and the ReLU behind them in. A value [N, C, H, W] gets a twin [N, H, W, C]; transposes are left where what reads a value has to
/// have it channels first.
/// </summary>
internal sealed class ChannelsLast
{
    // What cuDNN's fast kernels want the number of channels to be a multiple of.
    private const long Alignment = 8;

    private static readonly long[] ToLast = [0, 2, 3, 1];
    private static readonly long[] ToFirst = [0, 3, 1, 2];
    private static readonly HashSet<string> Unary = new(StringComparer.Ordinal)
    {
        "Clip", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Relu", "Sigmoid", "Tanh",
    };

    private static readonly HashSet<string> Binary = new(StringComparer.Ordinal) { "Add", "Div", "Mul", "Sub" };

    private readonly GraphBuilder _builder;
    private readonly Graph _graph;
    private readonly Dictionary<string, Value> _twins = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Convolution> _pending = new(StringComparer.Ordinal);
    private readonly ILookup<string, Node> _readers;

    // The first of the values that have as many pictures as this one.
    private readonly Dictionary<string, string> _batches = new(StringComparer.Ordinal);
    private readonly HashSet<string> _available;
    private readonly HashSet<Node> _taken = [];

    private ChannelsLast(Graph graph)
    {
        (_graph, _builder) = (graph, new GraphBuilder(graph));
        _available = graph.Inputs.Concat(graph.Initializers.Keys).Append("").ToHashSet(StringComparer.Ordinal);
        _readers = graph.Readers();
    }

    /// <summary>Rewrites a float32 graph whose types and channels are known; batch normalisations have been folded.</summary>
    public static void Apply(Graph graph)
    {
        var nodes = graph.Nodes.ToArray();
        if (!Array.Exists(nodes, node => node is { OpType: "Conv", Domain: "" }))
            return;
        var pass = new ChannelsLast(graph);
        graph.Nodes.Clear();
        foreach (var node in nodes.Where(node => !pass._taken.Contains(node)))
        {
            if (!pass.Convert(node))
                pass.Keep(node);
        }
        foreach (var output in graph.Outputs)
            pass.Provide(output);
        GraphSimplifier.RemoveUnused(graph);
    }

    private void Keep(Node node)
    {
        var read = new HashSet<string>(StringComparer.Ordinal);
        GraphSimplifier.AddInputs(node, read);
        foreach (var name in read)
            Provide(name);
        _graph.Nodes.Add(node);
        _available.UnionWith(node.Outputs);
    }

    private bool Convert(Node node) => node.Domain == AttentionOp.Domain
        ? node.OpType == nameof(GlobalDynamicConvolution) && ConvertDynamic(node)
        : node.Domain.Length == 0 && node.OpType switch
        {
            "Conv" => ConvertConv(node),
            "ConvTranspose" => ConvertConvTranspose(node),
            "MaxPool" => ConvertMaxPool(node),
            "Concat" => ConvertConcat(node),
            "Pad" => ConvertPad(node),
            "Transpose" => ConvertTranspose(node),
            "ReduceMean" => ConvertMean(node),
            _ when Unary.Contains(node.OpType) => ConvertUnary(node),
            _ when Binary.Contains(node.OpType) => ConvertBinary(node),
            _ => false,
        };

    private bool ConvertConv(Node node)
    {
        if (!IsMap(node.Inputs[0]) || node.Attributes.String("auto_pad", "NOTSET") != "NOTSET" || Weight(node.Inputs[1]) is not { } weight
            || node.Inputs.Skip(2).Any(name => Weight(name) is null))
            return false;
        var (outputs, channels, group) = (weight.Dims[0], weight.Dims[1], node.Attributes.Int("group", 1));
        var bias = node.Inputs.Count > 2 ? Weight(node.Inputs[2])! : Tensor.Create<float>(new float[outputs], outputs);
        if (group == 1)
        {
            Hold(node.Outputs[0], node.Inputs[0], new(Aligned(Twin(node.Inputs[0]), channels), Aligned(weight.Transpose(0, 2, 3, 1)), bias, Window(node, weight)));
            return true;
        }
        if (channels != 1 || outputs != group || outputs % 2 != 0)
            return false;
        var depthwise = Window(node, weight);
        depthwise["group"] = group;
        Define(node.Outputs[0], node.Inputs[0], _builder.Op(
            nameof(ChannelsLastDepthwiseConv),
            [
                Twin(node.Inputs[0]), _builder.Constant(weight.Transpose(2, 3, 0, 1).Reshape(weight.Dims[2], weight.Dims[3], outputs)),
                _builder.Constant(bias),
            ],
            depthwise, AttentionOp.Domain));
        return true;
    }

    // Windows of 2 x 2 that do not overlap: a 1 x 1 convolution to four times the channels, which become 2 x 2 positions.
    private bool ConvertConvTranspose(Node node)
    {
        if (!IsMap(node.Inputs[0]) || Weight(node.Inputs[1]) is not { } weight || _graph.Info(node.Inputs[0]).Shape is not { } shape
            || !shape[2].IsKnown || !shape[3].IsKnown || weight.Dims[0] % Alignment != 0 || node.Attributes.Int("group", 1) != 1
            || node.Attributes.String("auto_pad", "NOTSET") != "NOTSET" || node.Attributes.Contains("output_shape")
            || !Are("kernel_shape", 2, weight.Dims.Skip(2)) || !Are("strides", 2, [1, 1]) || !Are("dilations", 1, [1, 1])
            || !Are("pads", 0, [0, 0, 0, 0]) || !Are("output_padding", 0, [0, 0]) || node.Inputs.Skip(2).Any(name => Weight(name) is null))
            return false;
        var (channels, outputs, height, width) = (weight.Dims[0], weight.Dims[1], shape[2].Value, shape[3].Value);
        var single = node.Inputs.Count > 2 ? Weight(node.Inputs[2])!.AsSpan<float>().ToArray() : new float[outputs];
        var bias = Tensor.Create<float>([.. single, .. single, .. single, .. single], 4 * outputs);
        var window = new Attributes
        {
            ["kernel_shape"] = new long[] { 1, 1 }, ["strides"] = new long[] { 1, 1 }, ["dilations"] = new long[] { 1, 1 },
            ["pads"] = new long[] { 0, 0, 0, 0 },
        };
        var blocks = Emit(new(
            Twin(node.Inputs[0]), weight.Transpose(2, 3, 1, 0).Reshape(4 * outputs, 1, 1, channels), bias, window), isRectified: false);
        Define(node.Outputs[0], node.Inputs[0], blocks.Reshape(-1, height, width, 2, 2, outputs).Transpose(0, 1, 3, 2, 4, 5)
            .Reshape(-1, 2 * height, 2 * width, outputs));
        return true;

        bool Are(string attribute, long value, IEnumerable<long> orElse) =>
            (node.Attributes.Ints(attribute) ?? orElse).All(entry => entry == value);
    }

    private bool ConvertMaxPool(Node node)
    {
        if (!HasTwin(node.Inputs[0]) || node.Outputs.Count > 1 || Channels(node.Inputs[0]) % 4 != 0
            || node.Attributes.Int("ceil_mode", 0) != 0 || node.Attributes.String("auto_pad", "NOTSET") != "NOTSET")
            return false;
        Define(node.Outputs[0], node.Inputs[0], _builder.Op(
            nameof(ChannelsLastMaxPool), [Twin(node.Inputs[0])], Window(node, null), AttentionOp.Domain));
        return true;
    }

    private bool ConvertConcat(Node node)
    {
        if (node.Attributes.Int("axis") is not (1 or -3) || !node.Inputs.TrueForAll(IsMap) || !node.Inputs.Exists(HasTwin))
            return false;
        Define(node.Outputs[0], node.Inputs[0], _builder.Concat(3, [.. node.Inputs.Select(Twin)]));
        return true;
    }

    // Also of maps whose channels are the last axis in the model.
    private bool ConvertPad(Node node)
    {
        if (node.Attributes.String("mode", "constant") != "constant" || node.Inputs.Skip(2).Any(name => name.Length > 0) || !IsMap(node.Inputs[0])
            || !_graph.Initializers.TryGetValue(node.Inputs[1], out var counts) || counts.ToInt64() is not { Length: 8 } pads
            || pads.Min() < 0 || (pads[0] | pads[4]) != 0)
            return false;
        if ((pads[1] | pads[5]) == 0 && HasTwin(node.Inputs[0]) && Channels(node.Inputs[0]) % 4 == 0)
        {
            Define(node.Outputs[0], node.Inputs[0], ZeroPad.Apply(Twin(node.Inputs[0]), [pads[2], pads[3], pads[6], pads[7]]));
            return true;
        }
        if ((pads[3] | pads[7]) != 0 || _graph.Info(node.Inputs[0]).Shape![3] is not { IsKnown: true } channels || channels.Value % 4 != 0)
            return false;
        Provide(node.Inputs[0]);
        Rename(ZeroPad.Apply(_builder[node.Inputs[0]], [pads[1], pads[2], pads[5], pads[6]]), node.Outputs[0]);
        return true;
    }

    private bool ConvertTranspose(Node node)
    {
        if (node.Attributes.Ints("perm") is not { } order)
            return false;
        if (order.AsSpan().SequenceEqual(ToFirst) && _graph.Info(node.Inputs[0]).Type == TensorElementType.Float)
        {
            Provide(node.Inputs[0]);
            _twins[node.Outputs[0]] = _builder[node.Inputs[0]];
            return true;
        }
        if (!order.AsSpan().SequenceEqual(ToLast) || !HasTwin(node.Inputs[0]))
            return false;
        Rename(Twin(node.Inputs[0]), node.Outputs[0]);
        return true;
    }

    private bool ConvertMean(Node node)
    {
        if (!HasTwin(node.Inputs[0]) || node.Inputs.Count < 2 || !_graph.Initializers.TryGetValue(node.Inputs[1], out var axes)
            || !axes.ToInt64().AsSpan().SequenceEqual([2L, 3L]))
            return false;
        var keepsAxes = node.Attributes.Int("keepdims", 1) != 0;
        var mean = Twin(node.Inputs[0]).ReduceMean([1, 2], keepsAxes);
        if (keepsAxes)
            Define(node.Outputs[0], node.Inputs[0], mean);
        else
            Rename(mean, node.Outputs[0]);
        return true;
    }

    private bool ConvertUnary(Node node)
    {
        if (node.OpType == "Relu" && _pending.Remove(node.Inputs[0], out var convolution))
        {
            Define(node.Outputs[0], node.Inputs[0], Emit(convolution, isRectified: true));
            return true;
        }
        if (!HasTwin(node.Inputs[0]) || !node.Inputs.Skip(1).All(_graph.Initializers.ContainsKey))
            return false;
        Define(node.Outputs[0], node.Inputs[0], _builder.Op(
            node.OpType, [Twin(node.Inputs[0]), .. node.Inputs.Skip(1).Select(name => _builder[name])], node.Attributes));
        return true;
    }

    private bool ConvertBinary(Node node)
    {
        var (left, right) = (node.Inputs[0], node.Inputs[1]);
        if (node.OpType == "Add" && IsMap(left) && IsMap(right) && IsSameShape(left, right))
        {
            var name = _pending.ContainsKey(left) ? left : right;
            if (_pending.Remove(name, out var convolution))
            {
                var other = Twin(name == left ? right : left);
                if (convolution.Residual is null)
                {
                    Hold(node.Outputs[0], left, convolution with { Residual = other });
                    return true;
                }
                _pending[name] = convolution;
            }
        }
        if (!(HasTwin(left) || HasTwin(right)) || Operand(left) is not { } first || Operand(right) is not { } second)
            return false;
        Define(node.Outputs[0], node.Inputs[0], _builder.Op(node.OpType, [first, second]));
        return true;

        // A map's twin, or a constant that goes with it.
        Value? Operand(string name) => HasTwin(name) ? Twin(name)
            : Weight(name) is not { } tensor ? null
            : tensor.ElementCount == 1 ? _builder.Constant(Tensor.Scalar(tensor.AsSpan<float>()[0]))
            : tensor.Dims.Count == 3 ? _builder.Constant(tensor.Transpose(1, 2, 0))
            : tensor.Dims.Count == 4 ? _builder.Constant(tensor.Transpose(0, 2, 3, 1))
            : null;
    }

    // With the batch normalisation and the ReLU behind it: projection and filters are multiplied first.
    private bool ConvertDynamic(Node node)
    {
        if (Weight(node.Inputs[3]) is not { } projection || Weight(node.Inputs[4]) is not { } offset || Weight(node.Inputs[5]) is not { } bias
            || _graph.Info(node.Inputs[0]).Shape is not { } shape || !shape[2].IsKnown || !shape[3].IsKnown || projection.Dims[0] % 4 != 0)
            return false;
        var (channels, tokens) = (projection.Dims[0], projection.Dims[1]);
        var (scale, shift) = (Enumerable.Repeat(1f, (int)channels).ToArray(), new float[channels]);
        var output = node.Outputs[0];
        if (OnlyReader(output) is { OpType: "BatchNormalization", Domain: "" } norm && norm.Inputs.Skip(1).All(name => Weight(name) is not null))
        {
            (scale, shift) = BatchNormalizationFolding.ScaleAndShift(_graph, norm);
            _taken.Add(norm);
            output = norm.Outputs[0];
        }
        var isRectified = OnlyReader(output) is { OpType: "Relu", Domain: "" };
        if (isRectified)
        {
            var relu = OnlyReader(output)!;
            _taken.Add(relu);
            output = relu.Outputs[0];
        }
        var weights = projection.Transpose(1, 0).AsSpan<float>().ToArray();
        for (var channel = 0; channel < channels; channel++)
        {
            var sum = 0f;
            for (var token = 0; token < tokens; token++)
                sum += weights[(token * channels) + channel];
            shift[channel] += scale[channel] * ((offset.AsSpan<float>()[0] * sum) + bias.AsSpan<float>()[channel]);
        }
        for (var i = 0; i < weights.Length; i++)
            weights[i] *= scale[i % channels];
        Provide(node.Inputs[2]);
        var folded = _builder[node.Inputs[2]].Transpose(0, 2, 1).MatMul(_builder.Constant(Tensor.Create<float>(weights, tokens, channels)));
        var branch = Twin(node.Inputs[1]).Reshape(0, -1, channels).MatMul(folded);
        var sums = AffineSum.Apply(
            Twin(node.Inputs[0]).Reshape(0, -1, channels), _builder.Constant(Tensor.Create<float>(scale, channels)), branch,
            _builder.Constant(Tensor.Create<float>(shift, channels)), isRectified);
        Define(output, node.Inputs[0], sums.Reshape(0, shape[2].Value, shape[3].Value, channels));
        return true;
    }

    // A convolution whose only reader may take it in waits for it.
    private void Hold(string output, string input, Convolution convolution)
    {
        _batches[output] = Batch(input);
        if (OnlyReader(output) is { OpType: "Add" or "Relu", Domain: "" })
            _pending[output] = convolution;
        else
            Define(output, input, Emit(convolution, isRectified: false));
    }

    private Value Emit(Convolution convolution, bool isRectified)
    {
        var attributes = convolution.Window.Clone();
        attributes["is_rectified"] = isRectified ? 1 : 0;
        var (weight, bias, outputs) = (convolution.Weight, convolution.Bias, convolution.Bias.ElementCount);
        var missing = convolution.Residual is null ? Missing(outputs) : 0;
        if (missing > 0)
            (weight, bias) = (Lengthened(weight, missing), Lengthened(bias, missing));
        var result = _builder.Op(
            nameof(ChannelsLastConv),
            [
                convolution.X, _builder.Constant(weight), _builder.Constant(bias),
                convolution.Residual ?? _builder.Scalar(0, convolution.X),
            ],
            attributes, AttentionOp.Domain);
        return missing == 0 ? result : result.Slice(3, 0, outputs);
    }

    private void Define(string output, string input, Value twin) => (_twins[output], _batches[output]) = (twin, Batch(input));

    private string Batch(string name) => _batches.GetValueOrDefault(name, name);

    private bool HasTwin(string name) => _twins.ContainsKey(name) || _pending.ContainsKey(name);

    private Value Twin(string name)
    {
        if (_pending.Remove(name, out var convolution))
            _twins[name] = Emit(convolution, isRectified: false);
        if (!_twins.TryGetValue(name, out var twin))
            _twins[name] = twin = _builder[name].Transpose(ToLast);
        return twin;
    }

    // Lets a value be there with its channels first.
    private void Provide(string name)
    {
        if (!_available.Add(name) || !HasTwin(name))
            return;
        AddNode("Transpose", Twin(name).Name, name, new() { ["perm"] = ToFirst });
    }

    private void Rename(Value value, string name)
    {
        AddNode("Identity", value.Name, name, []);
        _available.Add(name);
    }

    private void AddNode(string opType, string input, string output, Attributes attributes)
    {
        var node = new Node { OpType = opType, Name = output, Inputs = [input], Outputs = [output], Attributes = attributes };
        _graph.Nodes.Add(node);
        ShapeInference.Infer(_graph, node, []);
    }

    // The first channels once more, which the weights ignore, up to a multiple of what kernels want.
    private Value Aligned(Value twin, long channels)
    {
        var missing = Missing(channels);
        var parts = new List<Value> { twin };
        for (; missing > 0; missing -= channels)
            parts.Add(missing >= channels ? twin : twin.Slice(3, 0, missing));
        return parts.Count == 1 ? twin : _builder.Concat(3, [.. parts]);
    }

    private static Tensor Aligned(Tensor weight)
    {
        var (channels, missing) = (weight.Dims[3], Missing(weight.Dims[3]));
        if (missing == 0)
            return weight;
        var source = weight.AsSpan<float>();
        var rows = weight.ElementCount / channels;
        var target = new float[rows * (channels + missing)];
        for (var row = 0; row < rows; row++)
            source.Slice((int)(row * channels), (int)channels).CopyTo(target.AsSpan((int)(row * (channels + missing))));
        return Tensor.Create<float>(target, weight.Dims[0], weight.Dims[1], weight.Dims[2], channels + missing);
    }

    // With so many more entries of zero along the first axis.
    private static Tensor Lengthened(Tensor tensor, long count)
    {
        var dims = tensor.Dims.ToArray();
        dims[0] += count;
        var values = new float[tensor.ElementCount / tensor.Dims[0] * dims[0]];
        tensor.AsSpan<float>().CopyTo(values);
        return Tensor.Create<float>(values, dims);
    }

    private static long Missing(long channels) => (Alignment - (channels % Alignment)) % Alignment;

    private static Attributes Window(Node node, Tensor? weight) => new()
    {
        ["kernel_shape"] = node.Attributes.Ints("kernel_shape") ?? [.. weight!.Dims.Skip(2)],
        ["strides"] = node.Attributes.Ints("strides") ?? [1, 1],
        ["dilations"] = node.Attributes.Ints("dilations") ?? [1, 1],
        ["pads"] = node.Attributes.Ints("pads") ?? [0, 0, 0, 0],
    };

    private Tensor? Weight(string name) =>
        _graph.Initializers.TryGetValue(name, out var tensor) && tensor.Type == TensorElementType.Float ? tensor : null;

    private Node? OnlyReader(string name) =>
        !_graph.Outputs.Contains(name) && _readers[name].ToArray() is [var reader] ? reader : null;

    private bool IsMap(string name) =>
        _graph.Info(name) is { Type: TensorElementType.Float, Shape: { Rank: 4 } shape } && shape[1].IsKnown;

    private long Channels(string name) => _graph.Info(name).Shape![1].Value;

    private bool IsSameShape(string left, string right)
    {
        var (first, second) = (_graph.Info(left).Shape!, _graph.Info(right).Shape!);
        return (first[0] == second[0] || Batch(left) == Batch(right)) && first.Skip(1).SequenceEqual(second.Skip(1));
    }

    /// <param name="X">The map, [N, H, W, C].</param>
    /// <param name="Weight">[O, kH, kW, C]</param>
    /// <param name="Bias">[O]</param>
    /// <param name="Window">The attributes of the window.</param>
    private sealed record Convolution(Value X, Tensor Weight, Tensor Bias, Attributes Window)
    {
        /// <summary>What is added, like the output.</summary>
        public Value? Residual { get; init; }
    }
}
