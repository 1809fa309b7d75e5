using System.Runtime.CompilerServices;

namespace Microsoft.ML.Attention.Onnx.Kernels.Cpu;

/// <summary>
/// The gradient of consistent self-attention on the CPU. An item of work has one head of all images of a group, and so adds up all that
/// the gradient of a key sums: the result does not depend on the number of threads.
/// </summary>
internal sealed unsafe class ConsistentSelfAttentionGradKernel<TVector, TSimd>(KernelAttributes attributes) : IKernel
    where TVector : unmanaged
    where TSimd : ISimd<float, TVector>
{
    private const int KeysOfTile = 256;
    private const int QueriesOfTile = 32;

    private readonly ConsistentSelfAttentionArguments _arguments = new(attributes);

    public void Compute(KernelContext context)
    {
        var inputs = _arguments.Read<float>(context, 1);
        var (pictures, tokens, channels) = (inputs.Groups * inputs.Images, inputs.Tokens, inputs.Channels);
        var work = new Work
        {
            Inputs = inputs,
            OutputGrad = context.Input(0).Expect("[G * n, N, C]", pictures, tokens, channels).Data<float>(),
            Output = context.Input(8).Expect("[G * n, N, C]", pictures, tokens, channels).Data<float>(),
            LogSumExp = context.Input(9).Expect("[G, head_count, n * N]", inputs.Groups, inputs.Heads, inputs.Images * tokens).Data<float>(),
            QueryGrad = context.Output<float>(0, pictures, tokens, channels),
            KeyGrad = context.Output<float>(1, pictures, tokens, channels),
            ValueGrad = context.Output<float>(2, pictures, tokens, channels),
            BankKeyGrad = context.Output<float>(3, inputs.Groups, inputs.BankTokens, channels),
            BankValueGrad = context.Output<float>(4, inputs.Groups, inputs.BankTokens, channels),
        };
        context.ParallelFor(work, inputs.Groups * inputs.Heads);
    }

    public void Dispose()
    {
    }

    private struct Work : IParallelWork
    {
        public ConsistentSelfAttentionInputs<float> Inputs;
        public float* OutputGrad;
        public float* Output;
        public float* LogSumExp;
        public float* QueryGrad;
        public float* KeyGrad;
        public float* ValueGrad;
        public float* BankKeyGrad;
        public float* BankValueGrad;

        private int* _list;
        private float* _queries;
        private float* _outputGrads;
        private float* _products;
        private float* _queryGrads;
        private float* _keyPanel;
        private float* _valuePanel;
        private float* _keys;
        private float* _keyGrads;
        private float* _valueGrads;
        private float* _probabilities;
        private float* _scoreGrads;

        /// <summary>Stride of rows, which have zeros behind the channels of the head.</summary>
        private readonly int Stride => Padded(Inputs.Width);

        private static int PanelRow => KeysOfTile + TSimd.Width;

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public readonly void Run(int index)
        {
            var work = this;
            work.Lay(ThreadScratch.Get(work.Lay(null)));
            var (group, head) = (index / Inputs.Heads, index % Inputs.Heads);
            work.ClearKeyGrads(group, head * Inputs.Width);
            for (var image = 0; image < Inputs.Images; image++)
                work.Differentiate(group, image, head);
        }

        private static int Padded(int count) => (count + TSimd.Width - 1) / TSimd.Width * TSimd.Width;

        private long Lay(void* memory)
        {
            var partition = new Partition(memory);
            var queries = (long)AttentionTiles.PadRows(Inputs.Tokens);
            _list = partition.Take<int>(Inputs.Keys);
            _queries = partition.Take<float>(queries * Stride);
            _outputGrads = partition.Take<float>(queries * Stride);
            _products = partition.Take<float>(queries);
            _queryGrads = partition.Take<float>(queries * Stride);
            _keyPanel = partition.Take<float>((long)Inputs.Width * PanelRow);
            _valuePanel = partition.Take<float>((long)Inputs.Width * PanelRow);
            _keys = partition.Take<float>((long)KeysOfTile * Stride);
            _keyGrads = partition.Take<float>((long)KeysOfTile * Stride);
            _valueGrads = partition.Take<float>((long)KeysOfTile * Stride);
            _probabilities = partition.Take<float>((long)QueriesOfTile * PanelRow);
            _scoreGrads = partition.Take<float>((long)QueriesOfTile * PanelRow);
            return partition.Bytes;
        }

        private readonly void ClearKeyGrads(int group, int offset)
        {
            for (var key = 0; key < Inputs.Keys; key++)
            {
                new Span<float>(Inputs.Row(BankKeyGrad, KeyGrad, group, key) + offset, Inputs.Width).Clear();
                new Span<float>(Inputs.Row(BankValueGrad, ValueGrad, group, key) + offset, Inputs.Width).Clear();
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Differentiate(int group, int image, int head)
        {
            var (tokens, width, channels, offset) = (Inputs.Tokens, Inputs.Width, Inputs.Channels, head * Inputs.Width);
            var start = ((((long)group * Inputs.Images) + image) * tokens * channels) + offset;
            var logSumExp = LogSumExp + (((((long)group * Inputs.Heads) + head) * Inputs.Images) + image) * tokens;
            for (var token = 0; token < tokens; token++)
            {
                var at = start + ((long)token * channels);
                Copy(Inputs.Query + at, _queries + ((long)token * Stride), Inputs.Scale);
                Copy(OutputGrad + at, _outputGrads + ((long)token * Stride), 1);
                var product = 0f;
                for (var channel = 0; channel < width; channel++)
                    product += OutputGrad[at + channel] * Output[at + channel];
                _products[token] = product;
            }
            var keys = Inputs.ListKeys(image, _list);
            for (var first = 0; first < keys; first += KeysOfTile)
            {
                var count = Math.Min(KeysOfTile, keys - first);
                Gather(_list + first, count, group, offset);
                for (var query = 0; query < tokens; query += QueriesOfTile)
                    DifferentiateTile(query, Math.Min(QueriesOfTile, tokens - query), count, logSumExp, isFirst: first == 0);
                AddKeyGrads(_list + first, count, group, offset);
            }
            for (var token = 0; token < tokens; token++)
            {
                var grad = QueryGrad + start + ((long)token * channels);
                for (var channel = 0; channel < width; channel++)
                    grad[channel] = _queryGrads[((long)token * Stride) + channel] * Inputs.Scale;
            }
        }

        private readonly void Copy(float* source, float* target, float factor)
        {
            for (var channel = 0; channel < Inputs.Width; channel++)
                target[channel] = source[channel] * factor;
            new Span<float>(target + Inputs.Width, Stride - Inputs.Width).Clear();
        }

        /// <summary>The listed keys as rows, and with their values as columns of panels with zeros behind them.</summary>
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Gather(int* list, int count, int group, int offset)
        {
            for (var i = 0; i < count; i++)
            {
                var key = Inputs.Row(Inputs.BankKey, Inputs.Key, group, list[i]) + offset;
                var value = Inputs.Row(Inputs.BankValue, Inputs.Value, group, list[i]) + offset;
                Copy(key, _keys + ((long)i * Stride), 1);
                for (var channel = 0; channel < Inputs.Width; channel++)
                {
                    _keyPanel[((long)channel * PanelRow) + i] = key[channel];
                    _valuePanel[((long)channel * PanelRow) + i] = value[channel];
                }
            }
            for (var channel = 0; channel < Inputs.Width; channel++)
            {
                new Span<float>(_keyPanel + ((long)channel * PanelRow) + count, Padded(count) - count).Clear();
                new Span<float>(_valuePanel + ((long)channel * PanelRow) + count, Padded(count) - count).Clear();
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void DifferentiateTile(int firstQuery, int count, int keys, float* logSumExp, bool isFirst)
        {
            var (columns, rows) = (Padded(keys), AttentionTiles.PadRows(count));
            var queries = _queries + ((long)firstQuery * Stride);
            var outputGrads = _outputGrads + ((long)firstQuery * Stride);
            TileProduct<float, TVector, TSimd>.Of(queries, Stride, _keyPanel, PanelRow, _probabilities, PanelRow, Inputs.Width)
                .Run(rows, columns);
            TileProduct<float, TVector, TSimd>.Of(outputGrads, Stride, _valuePanel, PanelRow, _scoreGrads, PanelRow, Inputs.Width)
                .Run(rows, columns);
            for (var row = 0; row < count; row++)
                SoftmaxGrad(row, columns, logSumExp[firstQuery + row], _products[firstQuery + row]);
            var product = TileProduct<float, TVector, TSimd>.Of(
                _scoreGrads, PanelRow, _keys, Stride, _queryGrads + ((long)firstQuery * Stride), Stride, keys);
            product.Accumulate = !isFirst;
            product.Run(rows, Stride);
            AddTransposed(_scoreGrads, queries, _keyGrads, count, keys, isFirst: firstQuery == 0);
            AddTransposed(_probabilities, outputGrads, _valueGrads, count, keys, isFirst: firstQuery == 0);
        }

        /// <summary>Turns scores into probabilities, and the gradients of the probabilities into those of the scores.</summary>
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void SoftmaxGrad(int row, int columns, float logSumExp, float product)
        {
            var (offset, mean) = (TSimd.Broadcast(logSumExp), TSimd.Broadcast(product));
            var probabilities = _probabilities + ((long)row * PanelRow);
            var grads = _scoreGrads + ((long)row * PanelRow);
            for (var column = 0; column < columns; column += TSimd.Width)
            {
                var probability = TSimd.Exp(TSimd.Subtract(TSimd.Load(probabilities + column), offset));
                TSimd.Store(probability, probabilities + column);
                TSimd.Store(TSimd.Multiply(probability, TSimd.Subtract(TSimd.Load(grads + column), mean)), grads + column);
            }
        }

        /// <summary>target [keys, width] += weights^T [keys, queries] rows [queries, width].</summary>
        private readonly void AddTransposed(float* weights, float* rows, float* target, int queries, int keys, bool isFirst)
        {
            var product = TileProduct<float, TVector, TSimd>.Of(weights, 1, rows, Stride, target, Stride, queries);
            product.AStep = PanelRow;
            product.Accumulate = !isFirst;
            product.Run(AttentionTiles.PadRows(keys), Stride);
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void AddKeyGrads(int* list, int count, int group, int offset)
        {
            for (var i = 0; i < count; i++)
            {
                Add(_keyGrads + ((long)i * Stride), Inputs.Row(BankKeyGrad, KeyGrad, group, list[i]) + offset);
                Add(_valueGrads + ((long)i * Stride), Inputs.Row(BankValueGrad, ValueGrad, group, list[i]) + offset);
            }
        }

        private readonly void Add(float* source, float* target)
        {
            for (var channel = 0; channel < Inputs.Width; channel++)
                target[channel] += source[channel];
        }
    }
}
