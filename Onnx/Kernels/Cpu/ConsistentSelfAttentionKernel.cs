using System.Runtime.CompilerServices;

namespace Microsoft.ML.Attention.Onnx.Kernels.Cpu;

/// <summary>
/// Consistent self-attention on the CPU. The keys that an image may attend to are listed once for all its heads and queries; an item of
/// work takes queries of one head of an image and goes over those keys tile by tile, with a softmax that goes along.
/// </summary>
internal sealed unsafe class ConsistentSelfAttentionKernel<TVector, TSimd>(KernelAttributes attributes) : IKernel
    where TVector : unmanaged
    where TSimd : ISimd<float, TVector>
{
    private const int KeysOfTile = 256;
    private const int QueriesOfTile = 32;
    private const int MostQueriesOfItem = 1024;
    private const int FewQueriesOfItem = 128;
    private const int EnoughItems = 16;

    private readonly ConsistentSelfAttentionArguments _arguments = new(attributes);

    public void Compute(KernelContext context)
    {
        var inputs = _arguments.Read<float>(context, 0);
        var sequences = inputs.Groups * inputs.Images * inputs.Heads;
        using var memory = context.Allocate((long)inputs.Images * (inputs.Keys + 1) * sizeof(int));
        var work = new Work
        {
            Inputs = inputs,
            QueriesOfItem = Math.Min(inputs.Tokens, sequences >= EnoughItems ? MostQueriesOfItem : FewQueriesOfItem),
            KeyCounts = (int*)memory.Data,
            KeyLists = (int*)memory.Data + inputs.Images,
            Output = context.Output<float>(0, inputs.Groups * inputs.Images, inputs.Tokens, inputs.Channels),
            LogSumExp = context.Output<float>(1, inputs.Groups, inputs.Heads, inputs.Images * inputs.Tokens),
        };
        if (inputs.Tokens == 0)
            return;
        for (var image = 0; image < inputs.Images; image++)
            work.KeyCounts[image] = inputs.ListKeys(image, work.KeyLists + ((long)image * inputs.Keys));
        context.ParallelFor(work, sequences * work.Blocks);
    }

    public void Dispose()
    {
    }

    private struct Work : IParallelWork
    {
        public ConsistentSelfAttentionInputs<float> Inputs;
        public int QueriesOfItem;

        /// <summary>[n]</summary>
        public int* KeyCounts;

        /// <summary>[n, M + n * N], of which the first are those that the image attends to.</summary>
        public int* KeyLists;

        public float* Output;
        public float* LogSumExp;

        private float* _queries;
        private float* _keyPanel;
        private float* _values;
        private float* _scores;
        private float* _sums;
        private float* _largest;
        private float* _totals;

        public readonly int Blocks => (Inputs.Tokens + QueriesOfItem - 1) / QueriesOfItem;

        /// <summary>Stride of rows of values and sums.</summary>
        private readonly int PaddedWidth => Padded(Inputs.Width);

        // Not a power of two, which would put a column of the panel into few sets of the cache.
        private static int PanelRow => KeysOfTile + TSimd.Width;

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public readonly void Run(int index)
        {
            var work = this;
            work.Lay(ThreadScratch.Get(work.Lay(null)));
            var (sequence, first) = (index / Blocks, index % Blocks * QueriesOfItem);
            var (image, head) = (sequence / Inputs.Heads, sequence % Inputs.Heads);
            work.Attend(image / Inputs.Images, image % Inputs.Images, head, first, Math.Min(QueriesOfItem, Inputs.Tokens - first));
        }

        private static int Padded(int count) => (count + TSimd.Width - 1) / TSimd.Width * TSimd.Width;

        private long Lay(void* memory)
        {
            var partition = new Partition(memory);
            var queries = AttentionTiles.PadRows(QueriesOfItem);
            _queries = partition.Take<float>((long)queries * Inputs.Width);
            _keyPanel = partition.Take<float>((long)Inputs.Width * PanelRow);
            _values = partition.Take<float>((long)KeysOfTile * PaddedWidth);
            _scores = partition.Take<float>((long)QueriesOfTile * PanelRow);
            _sums = partition.Take<float>((long)queries * PaddedWidth);
            _largest = partition.Take<float>(queries);
            _totals = partition.Take<float>(queries);
            return partition.Bytes;
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Attend(int group, int image, int head, int firstQuery, int count)
        {
            var (width, offset) = (Inputs.Width, head * Inputs.Width);
            var firstRow = ((((long)group * Inputs.Images) + image) * Inputs.Tokens) + firstQuery;
            CopyScaled(Inputs.Query + (firstRow * Inputs.Channels) + offset, _queries, count, width);
            new Span<float>(_largest, count).Fill(float.NegativeInfinity);
            new Span<float>(_totals, count).Clear();
            var list = KeyLists + ((long)image * Inputs.Keys);
            var keys = KeyCounts[image];
            for (var first = 0; first < keys; first += KeysOfTile)
            {
                var keysOfTile = Math.Min(KeysOfTile, keys - first);
                Gather(list + first, keysOfTile, group, offset);
                for (var query = 0; query < count; query += QueriesOfTile)
                    AttendTile(query, Math.Min(QueriesOfTile, count - query), keysOfTile, isFirst: first == 0);
            }
            for (var query = 0; query < count; query++)
                Write(query, Output + ((firstRow + query) * Inputs.Channels) + offset);
            if (LogSumExp != null)
            {
                var row = ((((long)group * Inputs.Heads) + head) * Inputs.Images * Inputs.Tokens) + ((long)image * Inputs.Tokens) + firstQuery;
                for (var query = 0; query < count; query++)
                    LogSumExp[row + query] = _largest[query] + MathF.Log(_totals[query]);
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void CopyScaled(float* source, float* target, int rows, int width)
        {
            for (var row = 0; row < rows; row++, source += Inputs.Channels, target += width)
            {
                for (var channel = 0; channel < width; channel++)
                    target[channel] = source[channel] * Inputs.Scale;
            }
        }

        /// <summary>The listed keys as the columns of a panel, zeros behind them, and their values as rows.</summary>
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Gather(int* list, int count, int group, int offset)
        {
            var width = Inputs.Width;
            for (var i = 0; i < count; i++)
            {
                var key = Inputs.Row(Inputs.BankKey, Inputs.Key, group, list[i]) + offset;
                var value = Inputs.Row(Inputs.BankValue, Inputs.Value, group, list[i]) + offset;
                var column = _keyPanel + i;
                for (var channel = 0; channel < width; channel++, column += PanelRow)
                    *column = key[channel];
                var values = new Span<float>(_values + ((long)i * PaddedWidth), PaddedWidth);
                new ReadOnlySpan<float>(value, width).CopyTo(values);
                values[width..].Clear();
            }
            for (var channel = 0; channel < width; channel++)
                new Span<float>(_keyPanel + ((long)channel * PanelRow) + count, Padded(count) - count).Clear();
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void AttendTile(int firstQuery, int count, int keys, bool isFirst)
        {
            var (columns, rows) = (Padded(keys), AttentionTiles.PadRows(count));
            TileProduct<float, TVector, TSimd>.Of(
                _queries + ((long)firstQuery * Inputs.Width), Inputs.Width, _keyPanel, PanelRow, _scores, PanelRow, Inputs.Width)
                .Run(rows, columns);
            for (var row = 0; row < count; row++)
                Softmax(firstQuery + row, _scores + ((long)row * PanelRow), keys, columns, isFirst);
            var product = TileProduct<float, TVector, TSimd>.Of(
                _scores, PanelRow, _values, PaddedWidth, _sums + ((long)firstQuery * PaddedWidth), PaddedWidth, keys);
            product.Accumulate = !isFirst;
            product.Run(rows, PaddedWidth);
        }

        /// <summary>Turns a row of scores into e^(score - largest score so far), and what was summed so far to the same scale.</summary>
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Softmax(int query, float* scores, int keys, int columns, bool isFirst)
        {
            new Span<float>(scores + keys, columns - keys).Fill(float.NegativeInfinity);
            var max = TSimd.Load(scores);
            for (var column = TSimd.Width; column < columns; column += TSimd.Width)
                max = TSimd.Max(max, TSimd.Load(scores + column));
            var largest = TSimd.MaxElement(max);
            if (isFirst)
            {
                _largest[query] = largest;
            }
            else if (largest > _largest[query])
            {
                Rescale(query, MathF.Exp(_largest[query] - largest));
                _largest[query] = largest;
            }
            var offset = TSimd.Broadcast(_largest[query]);
            var total = default(TVector);
            for (var column = 0; column < columns; column += TSimd.Width)
            {
                var exponential = TSimd.Exp(TSimd.Subtract(TSimd.Load(scores + column), offset));
                TSimd.Store(exponential, scores + column);
                total = TSimd.Add(total, exponential);
            }
            _totals[query] += TSimd.Sum(total);
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Rescale(int query, float factor)
        {
            _totals[query] *= factor;
            var sums = _sums + ((long)query * PaddedWidth);
            var factors = TSimd.Broadcast(factor);
            for (var channel = 0; channel < PaddedWidth; channel += TSimd.Width)
                TSimd.Store(TSimd.Multiply(TSimd.Load(sums + channel), factors), sums + channel);
        }

        private readonly void Write(int query, float* output)
        {
            var factor = 1 / _totals[query];
            var sums = _sums + ((long)query * PaddedWidth);
            for (var channel = 0; channel < Inputs.Width; channel++)
                output[channel] = sums[channel] * factor;
        }
    }
}
