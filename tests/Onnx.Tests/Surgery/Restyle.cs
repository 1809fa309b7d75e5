using Microsoft.ML.Attention.Onnx.Surgery;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Tests.Surgery;

/// <summary>Rewrites an exported graph to what other exporters and optimisers make of the same network.</summary>
internal static class Restyle
{
    private const string Microsoft = "com.microsoft";

    /// <summary>The ways to write self-attention, each a function of the graph, the attention and its source.</summary>
    public static Dictionary<string, Func<OnnxModel, OnnxModel>> Styles { get; } = new()
    {
        ["MultiHeadAttention"] = model => Replace(model, MultiHead),
        // ONNX Runtime has these for CUDA only; the attentions that stay have to run here.
        ["MultiHeadAttention, keys and values packed"] = model => Replace(model, PackedKeyValue, onlyUp: true),
        ["MultiHeadAttention, all packed"] = model => Replace(model, PackedMultiHead, onlyUp: true),
        ["MultiHeadAttention, bias"] = model => Replace(model, MultiHeadWithBias),
        ["Attention"] = model => Replace(model, Packed),
        ["ai.onnx Attention"] = model => AtOpset23(Replace(model, Standard)),
        ["ai.onnx Attention by heads"] = model => AtOpset23(Replace(model, StandardByHeads)),
        ["flat"] = model => Replace(model, Flat),
        ["half"] = Half,
        ["functions"] = model => AsFunction(AsFunction(model, "Block"), "Model"),
        ["names in metadata"] = model => StripNames(model, keepMetadata: true),
        ["no names"] = model => StripNames(model, keepMetadata: false),
    };

    private static OnnxModel Replace(OnnxModel model, Func<GraphBuilder, SelfAttention, Value> attend, bool onlyUp = false)
    {
        var copy = model.Clone();
        copy.Opsets[Microsoft] = 1;
        var index = new GraphIndex(copy);
        var builder = new GraphBuilder(copy.Graph);
        var attentions = onlyUp
            ? UpBlockAttentions.Find(index).Select(found => found.Attention)
            : new AttentionFinder(index).Find().Select(finding => finding.Attention!);
        foreach (var attention in attentions.ToArray())
        {
            var product = index.Readers(attention.Output).Single();
            builder.Before(product, () => product.Inputs[0] = attend(builder, attention).Name);
        }
        GraphSimplifier.RemoveUnused(copy.Graph);
        return copy;
    }

    private static Value MultiHead(GraphBuilder builder, SelfAttention attention) =>
        builder.Op("MultiHeadAttention", Projected(builder, attention), Heads(attention), Microsoft);

    private static Value PackedKeyValue(GraphBuilder builder, SelfAttention attention)
    {
        var packed = Product(builder, attention, PerHead(builder, attention, attention.Key, attention.Value))
            .Reshape(0, 0, attention.HeadCount!.Value, 2, attention.Channels / attention.HeadCount!.Value);
        return builder.Op("MultiHeadAttention", [builder[attention.Query.Value], packed], Heads(attention), Microsoft);
    }

    private static Value PackedMultiHead(GraphBuilder builder, SelfAttention attention)
    {
        var packed = Product(builder, attention, PerHead(builder, attention, attention.Query, attention.Key, attention.Value))
            .Reshape(0, 0, attention.HeadCount!.Value, 3, attention.Channels / attention.HeadCount!.Value);
        return builder.Op("MultiHeadAttention", [packed], Heads(attention), Microsoft);
    }

    // What the bias adds is taken from the projections before.
    private static Value MultiHeadWithBias(GraphBuilder builder, SelfAttention attention)
    {
        float[] bias = [.. Enumerable.Range(0, 3 * attention.Channels).Select(i => (0.1f * i) - 0.3f)];
        var parts = Projected(builder, attention);
        for (var part = 0; part < 3; part++)
        {
            var own = bias.AsSpan(part * attention.Channels, attention.Channels);
            parts[part] += builder.Constant(Tensor.Create<float>(own.ToArray().Select(value => -value).ToArray(), own.Length));
        }
        var added = builder.Constant(Tensor.Create<float>(bias, bias.Length));
        return builder.Op("MultiHeadAttention", [.. parts, added], Heads(attention), Microsoft);
    }

    private static Value Packed(GraphBuilder builder, SelfAttention attention)
    {
        var weights = builder.Concat(
            1, Weights(builder, attention.Query), Weights(builder, attention.Key), Weights(builder, attention.Value));
        var bias = builder.Constant(Tensor.Create<float>(new float[3 * attention.Channels], 3 * attention.Channels));
        return builder.Op("Attention", [builder[attention.Query.Source], weights, bias], Heads(attention), Microsoft);
    }

    private static Value Standard(GraphBuilder builder, SelfAttention attention) => builder.Op(
        "Attention", Projected(builder, attention),
        new() { ["q_num_heads"] = attention.HeadCount!.Value, ["kv_num_heads"] = attention.HeadCount!.Value });

    private static Value StandardByHeads(GraphBuilder builder, SelfAttention attention)
    {
        var parts = Array.ConvertAll(Projected(builder, attention), part =>
            part.Reshape(0, 0, attention.HeadCount!.Value, attention.Channels / attention.HeadCount!.Value).Transpose(0, 2, 1, 3));
        return builder.Op("Attention", parts).Transpose(0, 2, 1, 3).Reshape(0, 0, attention.Channels);
    }

    // Linear layers on [B * N, C].
    private static Value Flat(GraphBuilder builder, SelfAttention attention)
    {
        var source = builder[attention.Query.Source];
        var (heads, width) = (attention.HeadCount!.Value, attention.Channels / attention.HeadCount!.Value);
        var byHeads = builder.Concat(0, source.ShapeOf().Slice(0, 0, 2), builder.Int64(heads, width));
        var tokens = source.Reshape(-1, attention.Channels);
        var parts = new[] { attention.Query, attention.Key, attention.Value }.Select(projection =>
            builder.Op("Gemm", [tokens, Weights(builder, projection)]).Reshape(byHeads).Transpose(0, 2, 1, 3)).ToArray();
        var scores = parts[0].MatMul(parts[1].Transpose(0, 1, 3, 2)) * (1 / Math.Sqrt(width));
        var attended = scores.Softmax().MatMul(parts[2]).Transpose(0, 2, 1, 3).Reshape(-1, attention.Channels);
        // An identity for the layer after it, which is a product on [B, N, C] in the export.
        var identity = new float[attention.Channels * attention.Channels];
        for (var i = 0; i < attention.Channels; i++)
            identity[(i * attention.Channels) + i] = 1;
        var weights = builder.Constant(Tensor.Create<float>(identity, attention.Channels, attention.Channels));
        return builder.Op("Gemm", [attended, weights]).Reshape(source.ShapeOf());
    }

    private static Value[] Projected(GraphBuilder builder, SelfAttention attention) =>
        [builder[attention.Query.Value], builder[attention.Key.Value], builder[attention.Value.Value]];

    private static Attributes Heads(SelfAttention attention) => new() { ["num_heads"] = attention.HeadCount!.Value };

    private static Value Weights(GraphBuilder builder, Projection projection) => builder[projection.Weights.Inputs[1]];

    private static Value Product(GraphBuilder builder, SelfAttention attention, Value weights) =>
        builder[attention.Query.Source].MatMul(weights);

    // [C, heads * parts * d]
    private static Value PerHead(GraphBuilder builder, SelfAttention attention, params Projection[] projections)
    {
        long[] split = [attention.Channels, attention.HeadCount!.Value, 1, attention.Channels / attention.HeadCount!.Value];
        return builder.Concat(2, [.. projections.Select(projection => Weights(builder, projection).Reshape(split))])
            .Reshape(attention.Channels, -1);
    }

    private static OnnxModel AtOpset23(OnnxModel model)
    {
        OpsetUpgrade.Apply(model.Graph, model.Opsets[""]);
        model.Opsets[""] = 23;
        return model;
    }

    // Half precision, but for the softmax and for the factors of Resize.
    private static OnnxModel Half(OnnxModel model)
    {
        var copy = model.Clone();
        var graph = copy.Graph;
        var factors = graph.Nodes.Where(node => node.OpType == "Resize").SelectMany(node => node.Inputs.Skip(1)).ToHashSet();
        foreach (var (name, tensor) in graph.Initializers.ToArray())
        {
            if (!factors.Contains(name))
                graph.Initializers[name] = Half(tensor);
        }
        foreach (var (name, info) in graph.Values.ToArray())
        {
            if (info.Type == TensorElementType.Float)
                graph.Values[name] = info with { Type = TensorElementType.Float16 };
        }
        for (var i = 0; i < graph.Nodes.Count; i++)
        {
            var node = graph.Nodes[i];
            if (node.OpType == "Constant" && !factors.Contains(node.Outputs[0]) && node.Attributes["value"] is Tensor tensor)
                node.Attributes["value"] = Half(tensor);
            else if (node.OpType == "Cast" && node.Attributes.Int("to") == (long)TensorElementType.Float)
                node.Attributes["to"] = (long)TensorElementType.Float16;
            else if (node.OpType == "Softmax")
            {
                var (scores, probabilities) = (node.Inputs[0], node.Outputs[0]);
                (node.Inputs[0], node.Outputs[0]) = ($"{scores}/single", $"{probabilities}/single");
                graph.Nodes.Insert(i + 1, Cast($"{probabilities}/single", probabilities, TensorElementType.Float16));
                graph.Nodes.Insert(i, Cast(scores, $"{scores}/single", TensorElementType.Float));
                i += 2;
            }
        }
        return copy;

        static Node Cast(string from, string to, TensorElementType type) =>
            new() { OpType = "Cast", Inputs = [from], Outputs = [to], Attributes = new() { ["to"] = (long)type } };

        static Tensor Half(Tensor tensor) => tensor.Type != TensorElementType.Float ? tensor
            : Tensor.Create<System.Half>(Array.ConvertAll(tensor.AsSpan<float>().ToArray(), value => (System.Half)value), [.. tensor.Dims]);
    }

    // The graph as a function that it calls, as an early exporter of PyTorch 2 wrote modules.
    private static OnnxModel AsFunction(OnnxModel model, string name)
    {
        const string Domain = "pkg.diffusers";
        var copy = model.Clone();
        copy.IrVersion = 8;
        var graph = copy.Graph;
        var body = new Graph { Name = name };
        body.Inputs.AddRange(graph.Inputs.Concat(graph.Initializers.Keys));
        body.Outputs.AddRange(graph.Outputs);
        body.Nodes.AddRange(graph.Nodes);
        copy.Functions.Add(new() { Domain = Domain, Name = name, Body = body, Opsets = new(copy.Opsets) });
        copy.Opsets[Domain] = 1;
        graph.Nodes.Clear();
        graph.Nodes.Add(new() { OpType = name, Domain = Domain, Name = name, Inputs = [.. body.Inputs], Outputs = [.. body.Outputs] });
        return copy;
    }

    // Names as PyTorch's newer exporter gives them, with or without its metadata.
    private static OnnxModel StripNames(OnnxModel model, bool keepMetadata)
    {
        var copy = model.Clone();
        var graph = copy.Graph;
        var names = new Dictionary<string, string> { [""] = "" };
        foreach (var name in graph.Inputs.Concat(graph.Outputs))
            names[name] = name;
        foreach (var (name, tensor) in graph.Initializers.ToArray())
        {
            graph.Initializers.Remove(name);
            graph.Initializers[Anonymous(name)] = tensor;
        }
        foreach (var (node, i) in graph.Nodes.Select((node, i) => (node, i)))
        {
            if (keepMetadata && ModulePath.Parse(node.Name) is { } path)
                node.Metadata["pkg.torch.onnx.name_scopes"] = $"['', '{path.Block}.{path.BlockIndex}', '{path}', 'node_{i}']";
            node.Name = $"node_{node.OpType}_{i}";
            foreach (var list in new[] { node.Inputs, node.Outputs })
            {
                for (var value = 0; value < list.Count; value++)
                    list[value] = Anonymous(list[value]);
            }
        }
        return copy;

        string Anonymous(string name) => names.TryGetValue(name, out var known) ? known : names[name] = $"val_{names.Count}";
    }
}
