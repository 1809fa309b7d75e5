namespace Microsoft.ML.Attention.Onnx.Surgery;

/// <summary>Finds the self-attentions of a graph in the forms that exporters give them.</summary>
internal sealed class AttentionFinder(GraphIndex index)
{
    private const string Microsoft = "com.microsoft";

    /// <summary>What was found at a node: a self-attention, or why there is none that can be rewritten.</summary>
    public readonly record struct Finding(Node Anchor, ModulePath? Path, SelfAttention? Attention, string? Mismatch);

    /// <summary>The self-attentions in the order in which they run, and what looks like one but does not match.</summary>
    public IEnumerable<Finding> Find() => index.Graph.Nodes.Select(At).OfType<Finding>();

    private Finding? At(Node node)
    {
        var path = ModulePath.Of(node);
        try
        {
            var attention = node switch
            {
                { OpType: "Softmax", Domain: "" } => Decomposed(node),
                { OpType: "MultiHeadAttention", Domain: Microsoft } => MultiHead(node),
                { OpType: "Attention", Domain: Microsoft } => Packed(node),
                { OpType: "Attention", Domain: "" } => Standard(node),
                { OpType: "MultiHeadAttention" or "MultiHeadSelfAttention", Domain: Ops.AttentionOp.Domain } => Own(node),
                { OpType: "GroupQueryAttention" or "PackedMultiHeadAttention" or "PackedAttention", Domain: Microsoft } =>
                    throw new MismatchException($"expected an attention over all tokens, found {node.OpType}"),
                _ => null,
            };
            return attention is null ? null : new(node, attention.Path, attention, null);
        }
        catch (MismatchException mismatch)
        {
            return new(node, path, null, mismatch.Message);
        }
    }

    // Softmax between two products.
    private SelfAttention? Decomposed(Node softmax)
    {
        if (Context(softmax.Outputs[0]) is not { } context)
        {
            return ModulePath.Of(softmax)?.IsSelf != true ? null
                : throw new MismatchException("expected a product with the values after it, found none");
        }
        if (Scores(softmax.Inputs[0]) is not { } scores)
        {
            throw new MismatchException("expected the product of queries and keys before it, past known scales, found "
                + (index.Producer(softmax.Inputs[0]) is { } node ? $"'{node.Name}' ({node.OpType})" : "an input of the graph"));
        }
        var (query, key) = (ProjectionWalk.Of(index, scores.Product.Inputs[0]), ProjectionWalk.Of(index, scores.Product.Inputs[1]));
        var value = ProjectionWalk.Of(index, context.Inputs[1]);
        if (!AreOfOneSource(query, key, value))
            return null;
        if (scores.Mask is { } mask)
            throw new MismatchException($"expected scores without a mask, found '{mask.Name}' ({mask.OpType}), which adds one");
        return Found(softmax, query, key, value, null, scores.Factor, context.Outputs[0]);
    }

    // The product of queries and keys, what it is multiplied by, and what adds a mask to it.
    private readonly record struct ScoreProduct(Node Product, double Factor, Node? Mask);

    // Up from the softmax, past scales, conversions and a bias of zeros.
    private ScoreProduct? Scores(string value)
    {
        var factor = 1.0;
        while (index.Producer(value) is { } node)
        {
            if (IsProduct(node))
                return new(node, node.OpType == "FusedMatMul" ? factor * node.Attributes.Float("alpha", 1) : factor, null);
            switch (node.OpType)
            {
                case "Cast" or "Identity" or "Reshape":
                    value = node.Inputs[0];
                    break;
                case "Mul" or "Div" when node.Inputs.FindIndex(input => index.Number(input) is not null) is >= 0 and var number:
                    var by = index.Number(node.Inputs[number])!.Value;
                    factor *= node.OpType == "Mul" ? by : 1 / by;
                    value = node.Inputs[1 - number];
                    break;
                case "Add" when node.Inputs.FindIndex(index.IsZero) is >= 0 and var zero:
                    value = node.Inputs[1 - zero];
                    break;
                case "Add" or "Where":
                    return node.Inputs.Select(Scores).FirstOrDefault(scores => scores is not null) is { } below
                        ? below with { Factor = below.Factor * factor, Mask = node }
                        : null;
                default:
                    return null;
            }
        }
        return null;
    }

    // Down to the product of probabilities and values.
    private Node? Context(string value)
    {
        while (index.Readers(value) is [var node])
        {
            if (IsProduct(node))
                return node.Inputs[0] == value ? node : null;
            if (node.OpType is not ("Cast" or "Dropout" or "Identity" or "Reshape"))
                return null;
            value = node.Outputs[0];
        }
        return null;
    }

    private bool IsProduct(Node node) =>
        node.OpType is "MatMul" or "FusedMatMul" or "Einsum" && node.Inputs.Count == 2 && !node.Inputs.Exists(index.IsConstant);

    // query, key, value, bias, key_padding_mask, attention_bias, past_key, past_value; key and value may be packed or left out.
    private SelfAttention? MultiHead(Node node)
    {
        var query = ProjectionWalk.Of(index, node.Inputs[0]);
        var heads = (int)node.Attributes.Int("num_heads");
        Projection key, value;
        if (Input(node, 1).Length == 0)
        {
            (query, key, value) = (Part(query, 0, 3), Part(query, 1, 3), Part(query, 2, 3));
        }
        else
        {
            key = ProjectionWalk.Of(index, node.Inputs[1]);
            (key, value) = Input(node, 2).Length == 0
                ? (Part(key, 0, 2), Part(key, 1, 2))
                : (key, ProjectionWalk.Of(index, node.Inputs[2]));
        }
        if (!AreOfOneSource(query, key, value))
            return null;
        RequireNone(node, 4);
        if (node.Attributes.Int("unidirectional", 0) != 0)
            throw new MismatchException("expected an attention over all tokens, found one over earlier tokens only");
        if (Input(node, 3) is { Length: > 0 } bias)
        {
            query = query with { Bias = (bias, 0) };
            key = key with { Bias = (bias, query.Channels) };
            value = value with { Bias = (bias, query.Channels + key.Channels) };
        }
        return Found(node, query, key, value, heads, node.Attributes.Float("scale", 0), node.Outputs[0]);

        Projection Part(Projection packed, int part, int count) =>
            packed with { Packing = new(part, count, IsPerHead: true), HeadCount = heads };
    }

    // input, weights, bias, mask_index, past, attention_bias: the projection is inside.
    private SelfAttention? Packed(Node node)
    {
        RequireNone(node, 3);
        if (node.Attributes.Int("unidirectional", 0) != 0 || node.Attributes.Int("do_rotary", 0) != 0)
            throw new MismatchException("expected an attention over all tokens without rotation, found another");
        if (index.ShapeOf(node.Inputs[1]) is not { Rank: 2 } shape || !shape[1].IsKnown)
            throw new MismatchException($"expected weights [C, 3 C], found '{node.Inputs[1]}' {index.ShapeOf(node.Inputs[1])}");
        var heads = (int)node.Attributes.Int("num_heads");
        var width = (int)shape[1].Value;
        if (node.Attributes.Ints("qkv_hidden_sizes") is { } sizes && Array.Exists(sizes, size => size * 3 != width))
            throw new MismatchException($"expected queries, keys and values of one size, found {string.Join(", ", sizes)}");
        var parts = Enumerable.Range(0, 3).Select(part => new Projection("", width, node.Inputs[0], node)
        {
            Packing = new(part, 3, IsPerHead: false),
        }).ToArray();
        return Found(node, parts[0], parts[1], parts[2], heads, node.Attributes.Float("scale", 0), node.Outputs[0]);
    }

    // ai.onnx Attention: [B, N, heads * d] with attributes that tell the heads, or [B, heads, N, d].
    private SelfAttention? Standard(Node node)
    {
        var query = ProjectionWalk.Of(index, node.Inputs[0]);
        var (key, value) = (ProjectionWalk.Of(index, node.Inputs[1]), ProjectionWalk.Of(index, node.Inputs[2]));
        if (!AreOfOneSource(query, key, value))
            return null;
        RequireNone(node, 3);
        if (node.Attributes.Int("is_causal", 0) != 0 || node.Attributes.Float("softcap", 0) != 0)
            throw new MismatchException("expected an attention over all tokens without a cap on scores, found another");
        int? heads = node.Attributes.Contains("q_num_heads") ? (int)node.Attributes.Int("q_num_heads") : null;
        if (heads is not null && node.Attributes.Int("kv_num_heads", heads.Value) != heads)
            throw new MismatchException("expected as many heads of keys as of queries, found fewer");
        return Found(node, query, key, value, heads, node.Attributes.Float("scale", 0), node.Outputs[0]);
    }

    // ml.attention MultiHeadAttention and MultiHeadSelfAttention, which graphs of this library call.
    private SelfAttention? Own(Node node)
    {
        var isPacked = node.OpType == nameof(Ops.MultiHeadSelfAttention);
        var query = ProjectionWalk.Of(index, node.Inputs[0]);
        var (key, value) = isPacked
            ? (Part(1), Part(2))
            : (ProjectionWalk.Of(index, node.Inputs[1]), ProjectionWalk.Of(index, node.Inputs[2]));
        query = isPacked ? Part(0) : query;
        if (!AreOfOneSource(query, key, value))
            return null;
        RequireNone(node, isPacked ? 1 : 3);
        return Found(node, query, key, value, (int)node.Attributes.Int("num_heads"), node.Attributes.Float("scale", 1), node.Outputs[0]);

        Projection Part(int part) => query with { Packing = new(part, 3, IsPerHead: false) };
    }

    private static string Input(Node node, int position) => position < node.Inputs.Count ? node.Inputs[position] : "";

    private void RequireNone(Node node, int first)
    {
        for (var i = first; i < node.Inputs.Count; i++)
        {
            if (node.Inputs[i].Length > 0 && !index.IsZero(node.Inputs[i]))
                throw new MismatchException($"expected no mask and no past, found '{node.Inputs[i]}' as input {i}");
        }
        for (var i = 1; i < node.Outputs.Count; i++)
        {
            if (node.Outputs[i].Length > 0 && (index.Readers(node.Outputs[i]).Count > 0 || index.Graph.Outputs.Contains(node.Outputs[i])))
                throw new MismatchException($"expected one output in use, found '{node.Outputs[i]}' in use too");
        }
    }

    // Attention to other tokens, such as those of the text, is left alone.
    private static bool AreOfOneSource(Projection query, Projection key, Projection value) =>
        query.Source == key.Source && query.Source == value.Source;

    private SelfAttention Found(
        Node anchor, Projection query, Projection key, Projection value, int? headCount, double scale, string context)
    {
        if (value.Factor != 1)
            throw new MismatchException($"expected values as they are projected, found them multiplied by {value.Factor}");
        if (query.Channels != key.Channels || query.Channels != value.Channels)
        {
            throw new MismatchException(
                $"expected queries, keys and values of one size, found {query.Channels}, {key.Channels} and {value.Channels}");
        }
        headCount ??= query.HeadCount ?? key.HeadCount ?? value.HeadCount;
        var factor = query.Factor * key.Factor;
        if (scale == 0 && factor != 1)
        {
            var heads = headCount ?? throw new MismatchException("expected a known number of heads, found none");
            scale = 1 / Math.Sqrt(query.Channels / heads);
        }
        var (output, isFlat, weights) = Output(context);
        return new()
        {
            Anchor = anchor,
            Path = new[] { anchor, query.Weights, key.Weights, weights }.Concat(index.Readers(weights.Outputs[0]))
                .Select(ModulePath.Of).FirstOrDefault(path => path is not null),
            Query = query,
            Key = key,
            Value = value,
            HeadCount = headCount,
            Scale = scale * factor,
            Output = output,
            IsFlat = isFlat,
        };
    }

    // Down to the projection to the residual.
    private (string Value, bool IsFlat, Node Weights) Output(string value)
    {
        while (true)
        {
            var readers = index.Readers(value);
            if (readers.FirstOrDefault(node => ProjectionWalk.IsWeighted(index, node) && node.Inputs[0] == value) is { } product)
                return (value, index.ShapeOf(value) is { } shape ? shape.Rank == 2 : product.OpType == "Gemm", product);
            if (readers is not [{ OpType: "Transpose" or "Reshape" or "Cast" or "Identity" or "Squeeze" or "Dropout" } node])
            {
                var found = readers.Select(reader => $"'{reader.Name}' ({reader.OpType})").DefaultIfEmpty("nothing");
                throw new MismatchException($"expected a projection by weights after the attention, found {string.Join(" and ", found)}");
            }
            value = node.Outputs[0];
        }
    }
}
