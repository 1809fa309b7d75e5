using Microsoft.ML.Attention.Onnx.Ops;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Surgery;

/// <summary>Puts consistent self-attention in the place of the attentions that were found in a graph.</summary>
internal sealed class ConsistentRewrite(Graph graph, GraphIndex index, int groupCount)
{
    private readonly GraphBuilder _builder = new(graph);
    private readonly Dictionary<string, string> _names = new(StringComparer.Ordinal);

    public void Apply(IReadOnlyList<UpBlockAttentions.Found> attentions)
    {
        var masks = Enumerable.Range(0, attentions.Max(found => found.Level) + 1).Select(level =>
            _builder.Input(ConsistentUnet.MaskInput(level), TensorElementType.Bool, ["images", $"csa_keys.{level}"])).ToArray();
        var mode = _builder.Input(ConsistentUnet.ModeInput, TensorElementType.Int32, [attentions.Count]);
        for (var i = 0; i < attentions.Count; i++)
        {
            var (attention, headCount, level) = attentions[i];
            Replace(attention, new(i, attention.Name, attention.Channels, headCount, level), masks[level], mode);
        }
        GraphSimplifier.RemoveUnused(graph);
        Rename();
    }

    private void Replace(SelfAttention attention, ConsistentLayer layer, Value mask, Value mode)
    {
        using var scope = _builder.Scope($"csa.{layer.Index}");
        var output = "";
        _builder.Before(index.Readers(attention.Output)[0], () => output = Attend(attention, layer, mask, mode).Name);
        foreach (var node in graph.Nodes)
        {
            for (var i = 0; i < node.Inputs.Count; i++)
            {
                if (node.Inputs[i] == attention.Output)
                    node.Inputs[i] = output;
            }
        }
    }

    private Value Attend(SelfAttention attention, ConsistentLayer layer, Value mask, Value mode)
    {
        var parts = Parts(attention);
        var type = parts[1].Info.Type ?? TensorElementType.Float;
        Shape bank = [groupCount, $"csa_bank.{layer.Level}", layer.Channels];
        var bankKey = _builder.Input(layer.BankKeyInput, type, bank);
        var bankValue = _builder.Input(layer.BankValueInput, type, bank);
        var output = ConsistentSelfAttention.Apply(
            parts[0], parts[1], parts[2], bankKey, bankValue, mask, mode, layer.HeadCount, groupCount, layer.Index, (float)attention.Scale);
        graph.Nodes[^1].Name = layer.Name;
        AddOutput(layer.KeyOutput, parts[1], layer);
        AddOutput(layer.ValueOutput, parts[2], layer);
        return attention.IsFlat ? output.Reshape(-1, layer.Channels) : output;
    }

    // Queries, keys and values, [B, N, C] each.
    private Value[] Parts(SelfAttention attention)
    {
        if (attention.Anchor is { OpType: "Attention", Domain.Length: > 0 })
            return PartsOfPackedWeights(attention.Anchor);
        return [.. new[] { attention.Query, attention.Key, attention.Value }.Select(projection => Biased(projection, Part(projection)))];
    }

    // com.microsoft Attention projects by itself.
    private Value[] PartsOfPackedWeights(Node node)
    {
        var packed = _builder[node.Inputs[0]].MatMul(_builder[node.Inputs[1]]);
        if (node.Inputs.Count > 2 && node.Inputs[2].Length > 0)
            packed += _builder[node.Inputs[2]];
        var channels = packed.Shape[-1].Value / 3;
        return packed.Split(-1, channels, channels, channels);
    }

    private Value Part(Projection projection)
    {
        var value = _builder[projection.Value];
        if (projection.IsFlat)
            value = value.Reshape(TokensOf(projection));
        var (part, count, isPerHead) = projection.Packing;
        if (count == 1)
            return value;
        if (!isPerHead)
            return value.Slice(-1, part * projection.Channels, (part + 1) * projection.Channels);
        var heads = projection.HeadCount!.Value;
        return value.Reshape(0, 0, heads, count, projection.Channels / heads).Slice(3, part, part + 1).Reshape(0, 0, projection.Channels);
    }

    // The batch and the number of tokens of the source, and the channels of the projection.
    private Value TokensOf(Projection projection)
    {
        var source = _builder[projection.Source].ShapeOf();
        return _builder.Concat(0, source.Slice(0, 0, 2), _builder.Int64(projection.Width));
    }

    private Value Biased(Projection projection, Value part) =>
        projection.Bias is not { } bias ? part : part + _builder[bias.Value].Slice(0, bias.Offset, bias.Offset + projection.Channels);

    // The node that makes a value gives it its new name, where an Identity would copy it.
    private void AddOutput(string name, Value value, ConsistentLayer layer)
    {
        graph.Values[value.Name] = new(value.Info.Type, [Dim.Unknown, $"csa_tokens.{layer.Level}", layer.Channels]);
        if (_names.TryAdd(value.Name, name))
            graph.Outputs.Add(value.Name);
        else
            _builder.Output(name, value);
    }

    private void Rename()
    {
        foreach (var list in graph.Nodes.SelectMany(node => new[] { node.Inputs, node.Outputs }).Append(graph.Outputs))
        {
            for (var i = 0; i < list.Count; i++)
                list[i] = _names.GetValueOrDefault(list[i], list[i]);
        }
        foreach (var (old, name) in _names)
            graph.Values[name] = graph.Values[old];
        var written = graph.Nodes.SelectMany(node => node.Outputs).Concat(graph.Inputs).Concat(graph.Initializers.Keys)
            .ToHashSet(StringComparer.Ordinal);
        foreach (var value in graph.Values.Keys.Where(value => !written.Contains(value)).ToArray())
            graph.Values.Remove(value);
    }
}
