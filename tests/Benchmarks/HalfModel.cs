using Microsoft.ML.Attention.Onnx;
using Microsoft.ML.OnnxRuntime.Tensors;
using Tensor = Microsoft.ML.Attention.Onnx.Tensor;

namespace Benchmarks;

/// <summary>
/// A float32 model turned into one that computes in float16, between inputs and outputs that stay float32. A cast to float32, which does
/// nothing in the model itself, keeps what follows in float32 up to a CastLike.
/// </summary>
internal sealed class HalfModel
{
    private readonly Graph _graph;
    private readonly HashSet<string> _real;
    private readonly HashSet<string> _half = new(StringComparer.Ordinal);
    private readonly HashSet<string> _copies = new(StringComparer.Ordinal);
    private readonly List<Node> _nodes = [];

    private HalfModel(Graph graph)
    {
        _graph = graph;
        _real = graph.Values.Where(value => value.Value.Type == TensorElementType.Float).Select(value => value.Key)
            .ToHashSet(StringComparer.Ordinal);
    }

    /// <summary>Changes the model.</summary>
    public static OnnxModel Of(OnnxModel model)
    {
        var pass = new HalfModel(model.Graph);
        model.Graph.Nodes.ForEach(pass.Convert);
        model.Graph.Nodes.Clear();
        model.Graph.Nodes.AddRange(pass._nodes);
        foreach (var name in pass._half)
            model.Graph.Values[name] = model.Graph.Info(name) with { Type = TensorElementType.Float16 };
        return model;
    }

    private void Convert(Node node)
    {
        var real = node.Inputs.Where(_real.Contains).ToArray();
        var isOutput = _graph.Outputs.Contains(node.Outputs[0]);
        if (real.Length > 0 && (isOutput || node.OpType is "Cast" or "CastLike"))
        {
            var toHalf = !isOutput && node.OpType == "CastLike" && _half.Contains(real[1]);
            _nodes.Add(Cast(real[0], node.Outputs[0], toHalf ? TensorElementType.Float16 : TensorElementType.Float));
            if (toHalf)
                _half.Add(node.Outputs[0]);
            return;
        }
        var isHalf = real.Length > 0 && Array.TrueForAll(real, name => _half.Contains(name) || IsEither(name));
        for (var i = 0; i < node.Inputs.Count; i++)
        {
            if (_real.Contains(node.Inputs[i]))
                node.Inputs[i] = isHalf ? InHalf(node.Inputs[i]) : InSingle(node.Inputs[i]);
        }
        _nodes.Add(node);
        if (isHalf)
            _half.UnionWith(node.Outputs.Where(_real.Contains));
    }

    private bool IsEither(string name) => _graph.Initializers.ContainsKey(name) || _graph.Inputs.Contains(name);

    private string InHalf(string name)
    {
        if (_half.Contains(name))
            return name;
        var half = name + ".half";
        if (!_copies.Add(half))
            return half;
        if (_graph.Initializers.TryGetValue(name, out var tensor))
            _graph.Initializers[half] = Tensor.Create<Half>(Array.ConvertAll(tensor.AsSpan<float>().ToArray(), x => (Half)x), [.. tensor.Dims]);
        else
            _nodes.Add(Cast(name, half, TensorElementType.Float16));
        return half;
    }

    private string InSingle(string name)
    {
        if (!_half.Contains(name))
            return name;
        var single = name + ".single";
        if (_copies.Add(single))
            _nodes.Add(Cast(name, single, TensorElementType.Float));
        return single;
    }

    private static Node Cast(string from, string to, TensorElementType type) =>
        new() { OpType = "Cast", Name = to, Inputs = [from], Outputs = [to], Attributes = new() { ["to"] = (long)type } };
}
