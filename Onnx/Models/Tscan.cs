using Microsoft.ML.Attention.Onnx.Ops;
using Microsoft.ML.Attention.Onnx.Weights;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Models;

/// <summary>Which tokens a <see cref="Tscan"/> relates.</summary>
public enum TscanBranches
{
    /// <summary>Bins to bins and columns to columns (<c>split48_tandf</c>).</summary>
    Both = 0,

    /// <summary>Bins to bins (<c>split48_t</c>).</summary>
    Temporal = 1,

    /// <summary>Columns to columns (<c>split48_f</c>).</summary>
    Feature = 2,
}

/// <summary>How a <see cref="Tscan"/> makes a vector of what its feature branch gives.</summary>
public enum TscanFeaturePooling
{
    /// <summary>
    /// The mean over the bins of the last segment, as published. The branch ends in a normalisation over the same bins, so little of it is
    /// left; where both branches are used, their means are averaged.
    /// </summary>
    Bins = 0,

    /// <summary>The mean over the columns, beside what the temporal branch gives.</summary>
    Columns = 1,
}

/// <summary>How a <see cref="Tscan"/> makes one prediction of what its branches give.</summary>
public enum TscanFusion
{
    /// <summary>As the published code does: see <see cref="TscanFeaturePooling"/>; then a hidden layer of <see cref="TscanConfig.HeadWidth"/>.</summary>
    Published = 0,

    /// <summary>The means side by side, and one layer.</summary>
    Concatenation = 1,

    /// <summary>The sum of the means, and one layer.</summary>
    Sum = 2,

    /// <summary>The products of the means, with the signed square root and unit length, and one layer.</summary>
    Bilinear = 3,

    /// <summary>A layer for each branch, and the larger of the two predictions.</summary>
    Maximum = 4,
}

/// <summary>What follows the hidden layer in the head of a <see cref="Tscan"/>.</summary>
public enum TscanHiddenActivation
{
    /// <summary>As published for tasks of yes and no.</summary>
    Sigmoid = 0,

    /// <summary>As published for classes.</summary>
    Softmax = 1,

    /// <summary>As published for amounts.</summary>
    Relu = 2,
}

/// <summary>The hyper-parameters of a <see cref="Tscan"/>.</summary>
public sealed record TscanConfig
{
    /// <summary>The columns of the input, values and flags.</summary>
    public int InputCount { get; init; } = 76;

    /// <summary>How many of the first columns the model reads; the width of a bin's token.</summary>
    public int ColumnCount { get; init; } = 59;

    /// <summary>
    /// The width of a linear map of each bin's columns before the temporal branch; 0 for the columns themselves, as published. Where
    /// columns are few, normalising them over each other loses their level: then a map helps.
    /// </summary>
    public int EmbeddingWidth { get; init; }

    /// <summary>The bins of a series, a multiple of <see cref="SegmentCount"/> if all are read.</summary>
    public int BinCount { get; init; } = 48;

    /// <summary>The first bins, which the model reads; 0 for all. A multiple of <see cref="SegmentCount"/>.</summary>
    public int ReadBinCount { get; init; }

    /// <summary>The segments that the bins are cut into.</summary>
    public int SegmentCount { get; init; } = 4;

    /// <summary>The width of queries, keys and values, a multiple of <see cref="HeadCount"/>.</summary>
    public int AttentionWidth { get; init; } = 512;

    /// <summary>Attention heads.</summary>
    public int HeadCount { get; init; } = 8;

    /// <summary>The width of the hidden layer after each attention.</summary>
    public int HiddenWidth { get; init; } = 512;

    /// <summary>Layers of the first segment.</summary>
    public int EncoderDepth { get; init; } = 1;

    /// <summary>Layers of each other segment.</summary>
    public int DecoderDepth { get; init; } = 1;

    /// <summary>The tokens that are related.</summary>
    public TscanBranches Branches { get; init; }

    /// <summary>How the feature branch ends.</summary>
    public TscanFeaturePooling FeaturePooling { get; init; }

    /// <summary>How the branches are joined where both are used; all but the first are the paper's, of which no code is published.</summary>
    public TscanFusion Fusion { get; init; }

    /// <summary>
    /// Whether the values of the attention to the segment before are made by two layers of queries and keys side by side, as the paper says,
    /// and not the keys, as in the published code.
    /// </summary>
    public bool MixesValues { get; init; }

    /// <summary>Whether a token of a segment but the first sees no later ones, as in the published code; the paper does not say so.</summary>
    public bool IsCausal { get; init; } = true;

    /// <summary>Whether the tokens of the first segment are told their places, too, as all others are.</summary>
    public bool HasFirstPositions { get; init; } = true;

    /// <summary>
    /// Whether the last column of the input is 0 for bins behind the end of a series, and no bin of the temporal branch looks at those:
    /// a segment of nothing else passes on what came before, and means leave them out. Not published. In the feature branch bins are the
    /// width of the tokens, where nothing can be masked.
    /// </summary>
    public bool MasksPadding { get; init; }

    /// <summary>The width of the head's hidden layer where both branches are used; 0 for none.</summary>
    public int HeadWidth { get; init; } = 20;

    /// <summary>What follows the head's hidden layer.</summary>
    public TscanHiddenActivation HeadActivation { get; init; }

    /// <summary>The share of values that training drops after each attention, in each hidden layer and around the head's.</summary>
    public float DropoutRate { get; init; } = 0.3f;

    /// <summary>The numbers the model gives.</summary>
    public int OutputCount { get; init; } = 1;

    internal int SegmentLength => (ReadBinCount > 0 ? ReadBinCount : BinCount) / SegmentCount;

    internal void Validate()
    {
        Check(ColumnCount > 0 && ColumnCount <= InputCount, nameof(ColumnCount), $"is {ColumnCount}; the input has {InputCount} columns");
        Check(!MasksPadding || ColumnCount < InputCount, nameof(MasksPadding),
            $"needs a last column of the input that is not read as one of the {nameof(ColumnCount)}, {ColumnCount}");
        Check(ReadBinCount >= 0 && ReadBinCount <= BinCount, nameof(ReadBinCount), $"is {ReadBinCount}; the input has {BinCount} bins");
        var (bins, property) = ReadBinCount > 0 ? (ReadBinCount, nameof(ReadBinCount)) : (BinCount, nameof(BinCount));
        Check(SegmentCount > 0 && bins % SegmentCount == 0, property,
            $"is {bins}, not a multiple of {nameof(SegmentCount)}, {SegmentCount}");
        Check(EmbeddingWidth >= 0, nameof(EmbeddingWidth), $"is {EmbeddingWidth}; it must be 0 or more");
        Check(EmbeddingWidth == 0 || Branches == TscanBranches.Temporal || FeaturePooling == TscanFeaturePooling.Columns,
            nameof(EmbeddingWidth), "needs TscanFeaturePooling.Columns where both branches are used: the means of the branches differ in width");
        Check(EmbeddingWidth == 0 || Fusion is TscanFusion.Published or TscanFusion.Concatenation or TscanFusion.Maximum,
            nameof(EmbeddingWidth), $"does not go with TscanFusion.{Fusion}: the means of the branches differ in width");
        Check(HeadCount > 0 && AttentionWidth % HeadCount == 0, nameof(AttentionWidth),
            $"is {AttentionWidth}, not a multiple of {nameof(HeadCount)}, {HeadCount}");
        Check(DropoutRate is >= 0 and < 1, nameof(DropoutRate), $"is {DropoutRate}; it must be at least 0 and below 1");

        static void Check(bool holds, string property, string reason)
        {
            if (!holds)
                throw new ArgumentException($"TscanConfig.{property} {reason}.");
        }
    }
}

/// <summary>
/// TSCAN, a temporal-spatial correlation attention network for time series of many variables: one branch relates the hours of a stay, the
/// other the variables, each segment by segment, looking back at the segment before.
/// <para>Source: Nie et al., "Temporal-spatial Correlation Attention Network for Clinical Data Analysis in Intensive Care Unit"
/// (arXiv 2306.01970), repository yuyuheintju/TSCAN, whose code is followed where it differs from the paper.</para>
/// </summary>
public static class Tscan
{
    internal const float Masked = -1e9f;
    internal const string TimeImportance = "time_importance";
    internal const string FeatureImportance = "feature_importance";

    /// <summary>
    /// The published networks by the names of their files, for a task of yes or no: with one or both branches, for 17 variables (76 columns)
    /// or 155 (352 columns), and the baseline <c>transformer</c>, which reads the first half of the hours, in two segments.
    /// </summary>
    public static IReadOnlyDictionary<string, TscanConfig> Variants { get; } = new Dictionary<string, TscanConfig>
    {
        ["split48_tandf"] = new(),
        ["split48_t"] = Large(TscanBranches.Temporal),
        ["split48_f"] = Large(TscanBranches.Feature),
        ["split48_tandf_155"] = Large(TscanBranches.Both),
        ["split320_tandf_155"] = Large(TscanBranches.Both) with { BinCount = 320 },
        ["transformer"] = Large(TscanBranches.Temporal) with { ReadBinCount = 24, SegmentCount = 2, HasFirstPositions = false },
    };

    private const float Epsilon = 1e-6f;

    /// <summary>
    /// Builds the model: input <c>x</c> [N, bins, inputs], output <c>logits</c> [N, outputs], before the activation of the task.
    /// </summary>
    /// <param name="config">The hyper-parameters.</param>
    /// <param name="weights">Parameters under the official names.</param>
    /// <exception cref="ArgumentException">A hyper-parameter is out of range.</exception>
    /// <exception cref="InvalidDataException">The weights do not fit.</exception>
    public static OnnxModel Build(TscanConfig config, WeightSource weights)
    {
        config.Validate();
        var builder = new GraphBuilder("tscan");
        var parameters = new Parameters(builder, weights);
        builder.Output("logits", new Network(config, parameters).Logits(Input(builder, config)));
        parameters.ThrowIfUnfit();
        return builder.ToModel();
    }

    /// <summary>
    /// Builds the model with what its attention looks at as further outputs: <c>time_importance</c> [N, segments, bins of a segment], which
    /// sums to 1 in each segment, and <c>feature_importance</c> [N, columns], which sums to 1; those of the branches that it has. Where
    /// attention is causal the sums are divided by the number of queries that see a key. Attention is no evidence of a cause.
    /// </summary>
    /// <inheritdoc cref="Build"/>
    public static OnnxModel BuildWithAttention(TscanConfig config, WeightSource weights)
    {
        config.Validate();
        var builder = new GraphBuilder("tscan");
        var parameters = new Parameters(builder, weights);
        var network = new Network(config, parameters, keepsMaps: true);
        builder.Output("logits", network.Logits(Input(builder, config)));
        foreach (var (name, value) in network.Importance())
            builder.Output(name, value);
        parameters.ThrowIfUnfit();
        return builder.ToModel();
    }

    /// <summary>Builds a model whose outputs are the means of those of several models.</summary>
    /// <param name="config">The hyper-parameters of each.</param>
    /// <param name="weights">Parameters named <c>members.0.</c> and the official name, and so on.</param>
    /// <param name="memberCount">The number of models.</param>
    /// <param name="withAttention">Whether to add the outputs of <see cref="BuildWithAttention"/>.</param>
    /// <inheritdoc cref="Build"/>
    public static OnnxModel BuildEnsemble(TscanConfig config, WeightSource weights, int memberCount, bool withAttention = false)
    {
        config.Validate();
        ArgumentOutOfRangeException.ThrowIfLessThan(memberCount, 1);
        var builder = new GraphBuilder("tscan");
        var parameters = new Parameters(builder, weights);
        var x = Input(builder, config);
        var members = Enumerable.Range(0, memberCount)
            .Select(member => new Network(config, parameters["members"][$"{member}"], withAttention)).ToArray();
        builder.Output("logits", Mean(members.Select(member => member.Logits(x))));
        if (withAttention)
        {
            foreach (var output in members.SelectMany(member => member.Importance()).GroupBy(output => output.Name, output => output.Value))
                builder.Output(output.Key, Mean(output));
        }
        parameters.ThrowIfUnfit();
        return builder.ToModel();

        Value Mean(IEnumerable<Value> values) => values.Aggregate((a, b) => a + b) / memberCount;
    }

    private static TscanConfig Large(TscanBranches branches) => new() { InputCount = 352, ColumnCount = 197, Branches = branches };

    private static Value Input(GraphBuilder builder, TscanConfig config) =>
        builder.Input("x", TensorElementType.Float, Shape.Create(["N", config.BinCount, config.InputCount]));

    /// <summary>The network, and its parts for tests.</summary>
    /// <param name="config">The hyper-parameters.</param>
    /// <param name="parameters">Those of the network, or of the part.</param>
    /// <param name="keepsMaps">Whether attention maps are values of the graph; else attention is one operator.</param>
    internal sealed class Network(TscanConfig config, Parameters parameters, bool keepsMaps = false)
    {
        /// <summary>Attention maps [N, heads, queries, keys] by branch: of the first segment, then to the segment before each other.</summary>
        private readonly Dictionary<string, List<Value>> _maps = [];

        /// <summary>What the temporal branch gives [N, L, width]; null if there is none.</summary>
        public Value? TemporalTokens { get; private set; }

        /// <summary>What the feature branch gives [N, columns, L]; null if there is none.</summary>
        public Value? FeatureTokens { get; private set; }

        /// <summary>What the attention looks at, by the name of the output.</summary>
        public IEnumerable<(string Name, Value Value)> Importance()
        {
            if (_maps.TryGetValue("", out var temporal))
            {
                var segments = temporal.Select((map, i) =>
                    (i == 0 || !config.IsCausal ? map.ReduceMean([1, 2]) : VisibleShare(map)).Unsqueeze(1));
                yield return (TimeImportance, temporal[0].Builder.Concat(1, [.. segments]));
            }
            if (_maps.TryGetValue("f", out var feature))
                yield return (FeatureImportance, feature[0].ReduceMean([1, 2]));
        }

        // What a key gets of a causal map, per query that sees it, scaled to sum 1.
        private static Value VisibleShare(Value map)
        {
            var length = map.Shape[-1].Value;
            var weights = Enumerable.Range(0, (int)length).Select(key => 1f / (length - key)).ToArray();
            var share = map.ReduceMean([1]).ReduceSum([1]) * map.Builder.Constant(Tensor.Create<float>(weights, 1, length));
            return share / share.ReduceSum([1], keepDims: true);
        }

        public Value Logits(Value x)
        {
            var values = x.Slice(2, 0, config.ColumnCount);
            var segments = Segments(values);
            Value? temporal = null;
            if (config.Branches != TscanBranches.Feature)
            {
                var kept = config.MasksPadding ? Segments(IsPositive(x.Slice(2, config.InputCount - 1, config.InputCount))) : null;
                (TemporalTokens, var lastKept) = Branch(Array.ConvertAll(segments, Embed), "", kept);
                temporal = lastKept is null ? TemporalTokens.ReduceMean([1]) : Padding.Mean(TemporalTokens, lastKept);
            }
            if (config.Branches != TscanBranches.Temporal)
                (FeatureTokens, _) = Branch(Array.ConvertAll(segments, segment => segment.Transpose(0, 2, 1)), "f", null);
            return Head(temporal, FeatureTokens?.ReduceMean([config.FeaturePooling == TscanFeaturePooling.Bins ? 2 : 1]));
        }

        private Value[] Segments(Value bins) =>
            [.. Enumerable.Range(0, config.SegmentCount).Select(i => bins.Slice(1, i * config.SegmentLength, (i + 1) * config.SegmentLength))];

        private static Value IsPositive(Value x) => x.Builder.Op("Greater", [x, x.Builder.Scalar(0, x)]).Cast(x.Type);

        private Value Head(Value? temporal, Value? feature)
        {
            if (temporal is null || feature is null)
                return Predict(Dropout((temporal ?? feature)!), temporal is null ? "Dense" : "Dense2");
            var builder = temporal.Builder;
            switch (config.Fusion)
            {
                case TscanFusion.Concatenation:
                    return Predict(Dropout(builder.Concat(1, temporal, feature)), "Dense");
                case TscanFusion.Sum:
                    return Predict(Dropout(temporal + feature), "Dense");
                case TscanFusion.Bilinear:
                    return Predict(Dropout(Bilinear(temporal, feature)), "Dense");
                case TscanFusion.Maximum:
                    return builder.Op("Max", [Score(temporal, "Dense_t"), Score(feature, "Dense_f")]);
            }
            var joined = Dropout(config.FeaturePooling == TscanFeaturePooling.Bins
                ? (temporal + feature) * 0.5 : builder.Concat(1, temporal, feature));
            if (config.HeadWidth > 0)
                joined = Dropout(Activate(Dense(joined, parameters["Dense1"], config.HeadWidth)));
            return Predict(joined, "Dense2");
        }

        private Value Predict(Value value, string layer) => Dense(value, parameters[layer], config.OutputCount);

        // Such that the larger score is the larger prediction: all activations of tasks but softmax are monotone.
        private Value Score(Value pooled, string layer)
        {
            var logits = Predict(Dropout(pooled), layer);
            return config.HeadActivation == TscanHiddenActivation.Softmax ? logits.LogSoftmax() : logits;
        }

        private static Value Bilinear(Value temporal, Value feature)
        {
            const double Least = 1e-12;
            var product = temporal * feature;
            product = product.Apply("Sign") * (product.Apply("Abs") + Least).Apply("Sqrt");
            return product / ((product * product).ReduceSum([1], keepDims: true).Apply("Sqrt") + Least);
        }

        private Value Activate(Value value) => config.HeadActivation switch
        {
            TscanHiddenActivation.Sigmoid => value.Apply("Sigmoid"),
            TscanHiddenActivation.Softmax => value.Softmax(),
            _ => value.Apply("Relu"),
        };

        private Value Embed(Value bins) =>
            config.EmbeddingWidth == 0 ? bins : Dropout(Dense(bins, parameters["embedding"], config.EmbeddingWidth));

        // [N, L, width], a segment after the other, and which bins [N, L, 1] of the result are no padding.
        private (Value Tokens, Value? Kept) Branch(Value[] segments, string suffix, Value[]? kept)
        {
            var decoder = parameters["decoder"];
            var memoryKept = kept?[0];
            var (memory, map) = Encode(segments[0], decoder["encoder" + suffix], memoryKept);
            List<Value> maps = [map!];
            for (var i = 1; i < segments.Length; i++)
            {
                (var tokens, map) = Decode(segments[i], memory, decoder[$"decoder{suffix}{i}"], kept?[i], memoryKept);
                maps.Add(map!);
                (memory, memoryKept) = memoryKept is null
                    ? (tokens, null) : (Padding.Pass(kept![i], tokens, memory), Padding.Pass(kept[i], kept[i], memoryKept));
            }
            if (keepsMaps)
                _maps[suffix] = maps;
            return (memory, memoryKept);
        }

        /// <summary>The layers of the first segment, and the attention map of the last of them.</summary>
        /// <param name="x">The tokens.</param>
        /// <param name="block">The parameters.</param>
        /// <param name="kept">[N, L, 1]: 1 for tokens that are looked at; null for all.</param>
        public (Value Output, Value? Map) Encode(Value x, Parameters block, Value? kept = null)
        {
            if (config.HasFirstPositions)
                x += Positions(x);
            var mask = Padding.Mask(kept, null);
            Value? map = null;
            for (var i = 0; i < config.EncoderDepth; i++)
            {
                var layer = block["encode_layer"][$"{i}"];
                (var attention, map) = Attend(x, x, x, layer["att"], mask);
                x = (x + attention).LayerNorm(layer["layernorm1"], Epsilon);
                x = (x + Feed(x, layer["ffn"])).LayerNorm(layer["layernorm3"], Epsilon);
            }
            return (x, map);
        }

        /// <summary>The layers of another segment, and the map of the last one's attention to the segment before.</summary>
        /// <param name="x">The tokens.</param>
        /// <param name="memory">Those of the segment before.</param>
        /// <param name="block">The parameters.</param>
        /// <param name="kept">[N, L, 1]: 1 for tokens that are looked at; null for all.</param>
        /// <param name="memoryKept">The same for those of the segment before.</param>
        // One normalisation after both attentions, as in the published code.
        public (Value Output, Value? Map) Decode(Value x, Value memory, Parameters block, Value? kept = null, Value? memoryKept = null)
        {
            x += Positions(x);
            var causal = config.IsCausal ? CausalMask(x) : null;
            var (mask, memoryMask) = (Padding.Mask(kept, causal), Padding.Mask(memoryKept, causal));
            Value? map = null;
            for (var i = 0; i < config.DecoderDepth; i++)
            {
                var layer = block["decoder_layer"][$"{i}"];
                x = (x + Attend(x, x, x, layer["sel_att"], mask).Output).LayerNorm(layer["layernorm1"], Epsilon);
                var values = config.MixesValues ? Hidden(x.Builder.Concat(2, x, memory), layer["value_mlp"], x.Shape[-1].Value) : memory;
                (var attention, map) = Attend(x, memory, values, layer["att"], memoryMask);
                x = (x + attention).LayerNorm(layer["layernorm1"], Epsilon);
                x = (x + Feed(x, layer["ffn"])).LayerNorm(layer["layernorm2"], Epsilon);
            }
            return (x, map);
        }

        /// <summary>Multi-head attention with its projections, and its map if maps are kept.</summary>
        public (Value Output, Value? Map) Attend(
            Value queries, Value keys, Value values, Parameters layer, Value? mask, long? width = null)
        {
            var query = Dense(queries, layer["query_dense"], config.AttentionWidth);
            var key = Dense(keys, layer["key_dense"], config.AttentionWidth);
            var value = Dense(values, layer["value_dense"], config.AttentionWidth);
            var (heads, map) = keepsMaps ? AttendByMap(query, key, value, mask)
                : (MultiHeadAttention.Apply(query, key, value, config.HeadCount, mask), null);
            return (Dropout(Dense(heads, layer["combine_heads"], width ?? queries.Shape[-1].Value)), map);
        }

        private (Value Heads, Value? Map) AttendByMap(Value query, Value key, Value value, Value? mask)
        {
            var scores = Heads(query).MatMul(Heads(key).Transpose(0, 1, 3, 2)) * (1 / Math.Sqrt(config.AttentionWidth / config.HeadCount));
            var map = (mask is null ? scores : scores + mask).Softmax();
            return (map.MatMul(Heads(value)).Transpose(0, 2, 1, 3).Reshape(0, 0, config.AttentionWidth), map);
        }

        private Value Feed(Value x, Parameters layer) => Dropout(Hidden(x, layer, x.Shape[-1].Value));

        private Value Hidden(Value x, Parameters layer, long width) =>
            Dense(Dense(x, layer["0"], config.HiddenWidth).Apply("Relu"), layer["1"], width);

        private Value Heads(Value value) =>
            value.Reshape(0, 0, config.HeadCount, config.AttentionWidth / config.HeadCount).Transpose(0, 2, 1, 3);

        private static Value Dense(Value value, Parameters layer, long width)
        {
            using var scope = layer.Scope();
            var inputs = value.Shape[-1].Value;
            var glorot = Initialization.Uniform(Math.Sqrt(6.0 / (inputs + width)));
            return value.MatMul(layer.Get("weight", glorot, width, inputs).Transpose(1, 0)) + layer.Get("bias", Initialization.Zeros, width);
        }

        private Value Dropout(Value value) => config.DropoutRate == 0 ? value
            : value.Builder.Op("Dropout", [value, value.Builder.Constant(Tensor.Scalar(config.DropoutRate))]);

        /// <summary>0 where a query sees a key, for the queries and keys of a segment.</summary>
        public static Value CausalMask(Value x)
        {
            var length = (int)x.Shape[1].Value;
            var mask = new float[length * length];
            for (var i = 0; i < length; i++)
                mask.AsSpan((i * length) + i + 1, length - i - 1).Fill(Masked);
            return x.Builder.Constant(Tensor.Create<float>(mask, 1, 1, length, length));
        }

        // All sines, then all cosines, not in turns.
        private static Value Positions(Value x)
        {
            var (length, width) = (x.Shape[1].Value, x.Shape[2].Value);
            var table = new float[length * width];
            for (var p = 0; p < length; p++)
            {
                for (var i = 0; i < width; i++)
                {
                    var angle = p / Math.Pow(10000, 2 * (i / 2) / (double)width);
                    var column = i % 2 == 0 ? i / 2 : ((width + 1) / 2) + (i / 2);
                    table[(p * width) + column] = (float)(i % 2 == 0 ? Math.Sin(angle) : Math.Cos(angle));
                }
            }
            return x.Builder.Constant(Tensor.Create<float>(table, 1, length, width));
        }
    }

    /// <summary>What is done about bins behind the end of a series. <c>kept</c> is [N, L, 1], 0 for such a bin and else 1.</summary>
    private static class Padding
    {
        /// <summary>What is added to scores so that padding is not looked at, besides what another mask hides; null for nothing.</summary>
        public static Value? Mask(Value? kept, Value? other)
        {
            if (kept is null)
                return other;
            var mask = (1 - kept.Transpose(0, 2, 1).Unsqueeze(1)) * Masked;
            return other is null ? mask : mask.Builder.Op("Min", [mask, other]);
        }

        /// <summary>A segment, or what came before where all of the segment is padding.</summary>
        public static Value Pass(Value kept, Value segment, Value before)
        {
            var isThere = kept.ReduceMax([1], keepDims: true);
            return (segment * isThere) + (before * (1 - isThere));
        }

        /// <summary>The mean over the bins that are no padding; over all where there are no others.</summary>
        public static Value Mean(Value tokens, Value kept)
        {
            var shares = kept + (1 - kept.ReduceMax([1], keepDims: true));
            return (tokens * shares).ReduceSum([1]) / shares.ReduceSum([1]);
        }
    }
}
