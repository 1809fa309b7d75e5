using Microsoft.ML.Attention.Onnx.Ops;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Goldens;

/// <summary>
/// StoryDiffusion's consistent self-attention: one layer with its projections, the pass that writes the bank and the one that reads it,
/// each call a node of one graph.
/// </summary>
internal sealed class StoryAttentionCases : IGoldenModel
{
    private const int Groups = 2;

    public string Name => StoryCases.Family;

    public OnnxModel Build(GoldenCase golden)
    {
        var layer = new Layer(golden);
        if (golden.Variant == "csa_op")
            AddDense(layer, golden);
        else
            AddGathered(layer, golden);
        return layer.Builder.ToModel();
    }

    // The bank has all tokens, one mask for all images says which of them count.
    private static void AddDense(Layer layer, GoldenCase golden)
    {
        var count = golden.Config.GetProperty("id_length").GetInt32();
        var writing = layer.Tokens("hidden_write");
        var reading = layer.Tokens("hidden_read");
        var bank = layer.Bank([writing]);
        var mask = golden.Inputs["key_mask"].AsSpan<byte>().ToArray();
        var (row, written) = (mask.Length / (count + 1), count * layer.TokenCount);
        bool[] writeMask = [.. Enumerable.Range(0, count).SelectMany(image => Allowed(mask.AsSpan(image * row, written)))];
        var readMask = Allowed(mask.AsSpan(count * row, row));
        layer.Output("write_early", writing, null, ConsistentAttentionMode.Plain, writeMask);
        layer.Output("write_masked", writing, null, ConsistentAttentionMode.Masked, writeMask);
        layer.Output("write_plain", writing, null, ConsistentAttentionMode.Plain, writeMask);
        layer.Output("read_early", reading, bank, ConsistentAttentionMode.All, readMask);
        layer.Output("read_masked", reading, bank, ConsistentAttentionMode.Masked, readMask);
        layer.Output("read_plain", reading, bank, ConsistentAttentionMode.Plain, readMask);
    }

    // The bank has only tokens that count.
    private static void AddGathered(Layer layer, GoldenCase golden)
    {
        var count = golden.Config.GetProperty("id_length").GetInt32();
        var characters = golden.Config.GetProperty("characters").GetInt32();
        var reading = layer.Tokens("hidden_read");
        var banks = new List<LayerTokens>();
        for (var character = 0; character < characters; character++)
        {
            var writing = layer.Tokens($"hidden_write.{character}");
            var sampled = Enumerable.Range(0, count).SelectMany(
                image => golden.Inputs[$"indices.{character}.{image}"].ToInt64().Select(token => (image * layer.TokenCount) + token)).ToArray();
            var isSampled = new bool[count * layer.TokenCount];
            Array.ForEach(sampled, key => isSampled[key] = true);
            bool[] mask = [.. Enumerable.Repeat(isSampled, count).SelectMany(row => row)];
            layer.Output($"write_first.{character}", writing, null, ConsistentAttentionMode.Plain, mask);
            layer.Output($"write_masked.{character}", writing, null, ConsistentAttentionMode.Masked, mask);
            layer.Output($"write_plain.{character}", writing, null, ConsistentAttentionMode.Plain, mask);
            banks.Add(layer.Gather(writing, sampled));
        }
        var bank = layer.Bank(banks);
        bool[] readMask = [.. Enumerable.Repeat(true, banks.Sum(part => part.Count) + layer.TokenCount)];
        layer.Output("read_first", reading, bank, ConsistentAttentionMode.Plain, readMask);
        layer.Output("read_masked", reading, bank, ConsistentAttentionMode.All, readMask);
        layer.Output("read_plain", reading, bank, ConsistentAttentionMode.Plain, readMask);
        layer.Output("read_no_character", reading, null, ConsistentAttentionMode.All, [.. Enumerable.Repeat(true, layer.TokenCount)]);
    }

    private static bool[] Allowed(ReadOnlySpan<byte> mask) => Array.ConvertAll(mask.ToArray(), value => value != 0);

    /// <summary>Tokens as the layer sees them.</summary>
    /// <param name="Query">[G * n, N, C]</param>
    /// <param name="Key">[G * n, N, C], of a bank [G, M, C]</param>
    /// <param name="Value">As the key.</param>
    /// <param name="Count">The tokens of a group.</param>
    private sealed record LayerTokens(Value? Query, Value Key, Value Value, int Count);

    /// <summary>One self-attention in a graph whose inputs are those of the case.</summary>
    private sealed class Layer(GoldenCase golden)
    {
        private readonly Dictionary<string, Value> _inputs = [];

        public GraphBuilder Builder { get; } = new();

        public int TokenCount { get; } = golden.Config.GetProperty("tokens").GetInt32();

        private int Channels => (int)golden.Inputs["to_q.weight"].Dims[0];

        public LayerTokens Tokens(string name)
        {
            var hidden = Input(name);
            return new(
                Project(hidden, "to_q"), Project(hidden, "to_k"), Project(hidden, "to_v"),
                (int)golden.Inputs[name].Dims[0] / Groups * TokenCount);
        }

        public LayerTokens Gather(LayerTokens tokens, long[] indices)
        {
            var picked = Builder.Int64(indices);
            return new(null, Grouped(tokens.Key).Gather(picked, 1), Grouped(tokens.Value).Gather(picked, 1), indices.Length);
        }

        public LayerTokens Bank(IReadOnlyList<LayerTokens> parts) => new(
            null, Builder.Concat(1, [.. parts.Select(part => Grouped(part.Key))]),
            Builder.Concat(1, [.. parts.Select(part => Grouped(part.Value))]), parts.Sum(part => part.Count));

        public void Output(string name, LayerTokens tokens, LayerTokens? bank, ConsistentAttentionMode mode, bool[] mask)
        {
            var images = tokens.Count / TokenCount;
            var empty = Builder.Constant(Tensor.Create<float>([], Groups, 0, Channels));
            var attended = ConsistentSelfAttention.Apply(
                tokens.Query!, tokens.Key, tokens.Value, bank?.Key ?? empty, bank?.Value ?? empty,
                Builder.Constant(Tensor.Create<bool>(mask, images, mask.Length / images)),
                Builder.Constant(Tensor.Create<int>([(int)mode], 1)), golden.Config.GetProperty("heads").GetInt32(), Groups, layer: 0);
            Builder.Output(name, Project(attended, "to_out.0") + Input("to_out.0.bias"));
        }

        private Value Grouped(Value tokens) => tokens.Reshape(Groups, -1, Channels);

        private Value Project(Value tokens, string name) => tokens.MatMul(Input(name + ".weight").Transpose(1, 0));

        private Value Input(string name) => _inputs.TryGetValue(name, out var input)
            ? input
            : _inputs[name] = Builder.Input(name, TensorElementType.Float, golden.Inputs[name].Shape);
    }
}
