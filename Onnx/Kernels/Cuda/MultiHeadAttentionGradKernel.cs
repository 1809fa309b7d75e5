namespace Microsoft.ML.Attention.Onnx.Kernels.Cuda;

/// <summary>
/// The gradient of multi-head attention on CUDA: of short sequences in one launch, of others that of the queries, then those of the keys
/// and values; and where it is asked for that of the bias.
/// </summary>
/// <typeparam name="T"><see cref="float"/> or <see cref="Half"/>.</typeparam>
internal sealed unsafe class MultiHeadAttentionGradKernel<T>(KernelAttributes attributes, AttentionForm form) : IKernel
    where T : unmanaged
{
    private const string Source = "multi_head_attention_grad.cu";
    private const int FirstInput = 1;
    private const int SumThreads = 128;

    private static readonly bool IsHalf = typeof(T) == typeof(Half);

    private readonly AttentionArguments _arguments = new(attributes, form);

    public void Compute(KernelContext context)
    {
        var inputs = _arguments.Read<T>(context, FirstInput);
        var gradients = _arguments.Gradients(context, inputs);
        var biasGrad = _arguments.BiasGradient<T>(context, FirstInput);
        var boxBiasGrad = _arguments.BoxBiasGradient(context, FirstInput);
        var after = FirstInput + _arguments.Count;
        var rows = (long)inputs.Batch * inputs.Heads * inputs.Queries;
        using var memory = context.Allocate(rows * sizeof(float));
        var parameters = new Parameters
        {
            OutputGrad = context.Input(0).Expect("[N, L, E]", inputs.Batch, inputs.Queries, inputs.ValueChannels).Data<T>(),
            Query = inputs.Query.At(0),
            Key = inputs.Key.At(0),
            Value = inputs.Value.At(0),
            Bias = inputs.Bias,
            Output = context.Input(after).Expect("[N, L, E]", inputs.Batch, inputs.Queries, inputs.ValueChannels).Data<T>(),
            LogSumExp = context.Input(after + 1).Expect("[N, heads, L]", inputs.Batch, inputs.Heads, inputs.Queries).Data<float>(),
            OutputProducts = (float*)memory.Data,
            QueryGrad = gradients.Query.At(0),
            KeyGrad = gradients.Key.At(0),
            ValueGrad = gradients.Value.At(0),
            ColumnGrad = boxBiasGrad.Columns,
            RowGrad = boxBiasGrad.Rows,
            Sizes = MultiHeadAttentionParameters.Of(inputs),
        };
        var stream = context.Stream;
        if (ShortAttention.For(inputs) is { } shortAttention)
        {
            shortAttention.Launch<T>("attend_short_grad", stream, inputs.Batch, new()
            {
                Query = parameters.Query,
                Key = parameters.Key,
                Value = parameters.Value,
                Bias = parameters.Bias,
                LogSumExp = parameters.LogSumExp,
                OutputGrad = parameters.OutputGrad,
                OutputProducts = biasGrad == null ? null : parameters.OutputProducts,
                QueryGrad = parameters.QueryGrad,
                KeyGrad = parameters.KeyGrad,
                ValueGrad = parameters.ValueGrad,
                Sizes = parameters.Sizes,
            });
        }
        else
        {
            Launch("query_grad", inputs.Queries, mostSums: 32, weights: 1);
            Launch("key_value_grad", inputs.Keys, mostSums: 32, weights: 2);
        }
        if (biasGrad != null)
            AddBiasGrad(context, inputs, parameters, biasGrad);
        if (boxBiasGrad.IsPresent)
            Launch("box_bias_grad", inputs.Queries, mostSums: 32, weights: 0, moreFloats: inputs.BoxBias.RowCount);

        void Launch(string function, int positions, int mostSums, int weights, int moreFloats = 0)
        {
            var tile = HeadTile.For(inputs, positions, mostSums);
            var call = parameters;
            call.RowBlocks = tile.Blocks(positions);
            tile.Launch(
                Source, IsHalf, function, stream, new((long)inputs.Batch * inputs.Heads * call.RowBlocks),
                tile.QueryWidth + tile.ValueWidth + moreFloats, weights, call);
        }
    }

    public void Dispose()
    {
    }

    private static void AddBiasGrad(KernelContext context, in AttentionInputs<T> inputs, Parameters parameters, T* biasGrad)
    {
        var layout = inputs.BiasLayout;
        var tile = HeadTile.For(inputs, inputs.Queries, mostSums: 64);
        var groups = layout.BatchSize * layout.HeadSize;
        var keyBlocks = (inputs.Keys + 31) / 32;
        parameters.RowBlocks = tile.Blocks(inputs.Queries);
        parameters.BiasBatch = layout.BatchSize;
        parameters.BiasHeads = layout.HeadSize;
        // What all keys of a query share changes no probability, so its gradient is 0: exactly, where a sum over the keys would be off by
        // the rounding of the output in half precision.
        parameters.Parts = layout.KeySize == 1 ? 0 : PartialSums.Parts(
            (long)groups * parameters.RowBlocks * keyBlocks, (long)inputs.Batch * inputs.Heads / Math.Max(1, groups));
        using var memory = context.Allocate((long)parameters.Parts * groups * inputs.Queries * inputs.Keys * sizeof(float));
        parameters.BiasPartials = (float*)memory.Data;
        tile.Launch(
            Source, IsHalf, "bias_grad", context.Stream, new((long)groups * parameters.RowBlocks, keyBlocks, parameters.Parts),
            tile.QueryWidth + tile.ValueWidth, weights: 1, parameters);
        var count = (long)groups * layout.QuerySize * layout.KeySize;
        tile.Program(Source, IsHalf).Function("sum_bias_grads").Launch(
            context.Stream, new((count + SumThreads - 1) / SumThreads), SumThreads, 0, new BiasSums
            {
                Partials = parameters.BiasPartials,
                BiasGrad = biasGrad,
                Parts = parameters.Parts,
                Groups = groups,
                Queries = inputs.Queries,
                Keys = layout.KeySize,
                BiasQueries = layout.QuerySize,
            });
    }

    private struct Parameters
    {
        public T* OutputGrad;
        public T* Query;
        public T* Key;
        public T* Value;
        public T* Bias;
        public T* Output;
        public float* LogSumExp;
        public float* OutputProducts;
        public T* QueryGrad;
        public T* KeyGrad;
        public T* ValueGrad;
        public float* BiasPartials;
        public float* ColumnGrad;
        public float* RowGrad;
        public int RowBlocks;
        public int BiasBatch;
        public int BiasHeads;
        public int Parts;
        public MultiHeadAttentionParameters Sizes;
    }

    private struct BiasSums
    {
        public float* Partials;
        public T* BiasGrad;
        public int Parts;
        public int Groups;
        public int Queries;
        public int Keys;
        public int BiasQueries;
    }
}
