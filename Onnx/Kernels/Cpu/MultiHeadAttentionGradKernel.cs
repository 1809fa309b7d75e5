using System.Runtime.CompilerServices;

namespace Microsoft.ML.Attention.Onnx.Kernels.Cpu;

/// <summary>
/// The gradient of multi-head attention on the CPU. One item of work adds up all that a gradient of keys, values or bias sums, so the
/// result does not depend on the number of threads.
/// </summary>
internal sealed unsafe class MultiHeadAttentionGradKernel<TVector, TSimd>(KernelAttributes attributes, AttentionForm form) : IKernel
    where TVector : unmanaged
    where TSimd : ISimd<float, TVector>
{
    private readonly AttentionArguments _arguments = new(attributes, form);

    public void Compute(KernelContext context)
    {
        const int First = 1;
        var inputs = _arguments.Read<float>(context, First);
        var (batch, queries) = (inputs.Batch, inputs.Queries);
        var biasGrad = _arguments.BiasGradient<float>(context, First);
        var after = First + _arguments.Count;
        var work = new Work
        {
            Inputs = inputs,
            Tiles = new(inputs, TSimd.Width, headByHead: biasGrad != null),
            OutputGrad = context.Input(0).Expect("[N, L, E]", batch, queries, inputs.ValueChannels).Data<float>(),
            Output = context.Input(after).Expect("[N, L, E]", batch, queries, inputs.ValueChannels).Data<float>(),
            LogSumExp = context.Input(after + 1).Expect("[N, heads, L]", batch, inputs.Heads, queries).Data<float>(),
            BiasGrad = biasGrad,
            BoxBiasGrad = _arguments.BoxBiasGradient(context, First),
        };
        (work.QueryGrad, work.KeyGrad, work.ValueGrad) = _arguments.Gradients(context, inputs);
        context.ParallelFor(work, (batch / work.BatchOfItem) * (work.Tiles.HeadGroups / work.GroupsOfItem));
    }

    public void Dispose()
    {
    }

    private struct Work : IParallelWork
    {
        public AttentionInputs<float> Inputs;
        public AttentionTiles Tiles;
        public float* OutputGrad;
        public float* Output;
        public float* LogSumExp;
        public AttentionRows<float> QueryGrad;
        public AttentionRows<float> KeyGrad;
        public AttentionRows<float> ValueGrad;
        public float* BiasGrad;
        public BoxBias BoxBiasGrad;

        private float* _keyPanels;
        private float* _valuePanels;
        private float* _keyRows;
        private float* _queryRows;
        private float* _outputGradRows;
        private float* _queryGradRows;
        private float* _keyGradRows;
        private float* _valueGradRows;
        private float* _probabilities;
        private float* _scoreGrads;

        /// <summary>Sequences whose scores share a bias.</summary>
        public readonly int BatchOfItem => BiasGrad != null && Inputs.BiasLayout.BatchSize == 1 ? Math.Max(1, Inputs.Batch) : 1;

        /// <summary>Heads whose scores share a bias.</summary>
        public readonly int GroupsOfItem => BiasGrad != null && Inputs.BiasLayout.HeadSize == 1 ? Tiles.HeadGroups : 1;

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public readonly void Run(int index)
        {
            var work = this;
            work.Lay(ThreadScratch.Get(work.Lay(null)));
            var groups = Tiles.HeadGroups / GroupsOfItem;
            var (firstBatch, firstGroup) = (index / groups * BatchOfItem, index % groups * GroupsOfItem);
            if (BiasGrad != null)
            {
                var layout = Inputs.BiasLayout;
                new Span<float>(BiasGrad + layout.At(firstBatch, firstGroup * Tiles.Heads, 0), layout.QuerySize * layout.KeySize).Clear();
            }
            for (var batch = firstBatch; batch < firstBatch + BatchOfItem; batch++)
            {
                for (var group = firstGroup; group < firstGroup + GroupsOfItem; group++)
                    work.Differentiate(batch, group * Tiles.Heads);
            }
        }

        private long Lay(void* memory)
        {
            var partition = new Partition(memory);
            var (queries, keys) = (AttentionTiles.PadRows(Inputs.Queries), AttentionTiles.PadRows(Inputs.Keys));
            _keyPanels = partition.Take<float>((long)Tiles.QueryChannels * Tiles.Columns);
            _valuePanels = partition.Take<float>((long)Tiles.ValueChannels * Tiles.Columns);
            _keyRows = partition.Take<float>((long)keys * Tiles.QueryRow);
            _queryRows = partition.Take<float>((long)queries * Tiles.QueryRow);
            _outputGradRows = partition.Take<float>((long)queries * Tiles.ValueRow);
            _queryGradRows = partition.Take<float>((long)queries * Tiles.QueryRow);
            _keyGradRows = partition.Take<float>((long)keys * Tiles.QueryRow);
            _valueGradRows = partition.Take<float>((long)keys * Tiles.ValueRow);
            _probabilities = partition.Take<float>((long)Tiles.Rows * Tiles.Columns);
            _scoreGrads = partition.Take<float>((long)Tiles.Rows * Tiles.Columns);
            return partition.Bytes;
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Differentiate(int batch, int firstHead)
        {
            var (queries, keys) = (Inputs.Queries, Inputs.Keys);
            var (queryPosition, keyPosition) = ((long)batch * queries, (long)batch * keys);
            var (queryOffset, valueOffset) = (firstHead * Inputs.QueryWidth, firstHead * Inputs.ValueWidth);
            var key = Inputs.Key.At(keyPosition) + queryOffset;
            var value = Inputs.Value.At(keyPosition) + valueOffset;
            Tiles.PackPanels(key, Inputs.Key.Stride, Tiles.QueryChannels, Inputs.Scale, _keyPanels);
            Tiles.PackPanels(value, Inputs.Value.Stride, Tiles.ValueChannels, 1, _valuePanels);
            AttentionTiles.Copy(key, Inputs.Key.Stride, _keyRows, Tiles.QueryRow, keys, Tiles.QueryChannels);
            AttentionTiles.Copy(
                Inputs.Query.At(queryPosition) + queryOffset, Inputs.Query.Stride, _queryRows, Tiles.QueryRow, queries, Tiles.QueryChannels);
            AttentionTiles.Copy(
                OutputGrad + (queryPosition * Inputs.ValueChannels) + valueOffset, Inputs.ValueChannels,
                _outputGradRows, Tiles.ValueRow, queries, Tiles.ValueChannels);

            // A vector of a head's results may reach into the next head's, which are written after it.
            for (var head = 0; head < Tiles.Heads; head++)
            {
                for (var first = 0; first < queries; first += Tiles.Rows)
                    DifferentiateRows(batch, firstHead, head, first, Math.Min(Tiles.Rows, queries - first));
            }
            Scale(_queryGradRows, queries);
            Scale(_keyGradRows, keys);
            AttentionTiles.Copy(
                _queryGradRows, Tiles.QueryRow, QueryGrad.At(queryPosition) + queryOffset, QueryGrad.Stride, queries, Tiles.QueryChannels);
            AttentionTiles.Copy(
                _keyGradRows, Tiles.QueryRow, KeyGrad.At(keyPosition) + queryOffset, KeyGrad.Stride, keys, Tiles.QueryChannels);
            AttentionTiles.Copy(
                _valueGradRows, Tiles.ValueRow, ValueGrad.At(keyPosition) + valueOffset, ValueGrad.Stride, keys, Tiles.ValueChannels);
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void DifferentiateRows(int batch, int firstHead, int head, int first, int count)
        {
            var (queryWidth, valueWidth) = (Inputs.QueryWidth, Inputs.ValueWidth);
            var (columns, rows) = (Tiles.Columns, AttentionTiles.PadRows(count));
            var query = _queryRows + ((long)first * Tiles.QueryRow) + (head * queryWidth);
            var outputGrad = _outputGradRows + ((long)first * Tiles.ValueRow) + (head * valueWidth);
            TileProduct<float, TVector, TSimd>.Of(
                query, Tiles.QueryRow, _keyPanels + ((long)head * queryWidth * columns), columns,
                _probabilities, columns, queryWidth).Run(rows, columns);
            TileProduct<float, TVector, TSimd>.Of(
                outputGrad, Tiles.ValueRow, _valuePanels + ((long)head * valueWidth * columns), columns,
                _scoreGrads, columns, valueWidth).Run(rows, columns);
            for (var row = 0; row < count; row++)
                SoftmaxGrad(batch, firstHead + head, first + row, row, outputGrad + ((long)row * Tiles.ValueRow));

            TileProduct<float, TVector, TSimd>.Of(
                _scoreGrads, columns, _keyRows + (head * queryWidth), Tiles.QueryRow,
                _queryGradRows + ((long)first * Tiles.QueryRow) + (head * queryWidth), Tiles.QueryRow, Inputs.Keys)
                .Run(rows, Tiles.PaddedWidth(queryWidth));
            AddTransposed(_scoreGrads, query, Tiles.QueryRow, _keyGradRows + (head * queryWidth), queryWidth, first, count);
            AddTransposed(_probabilities, outputGrad, Tiles.ValueRow, _valueGradRows + (head * valueWidth), valueWidth, first, count);
        }

        /// <summary>Turns scores into probabilities, and the gradients of the probabilities into those of the scores.</summary>
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void SoftmaxGrad(int batch, int head, int query, int row, float* outputGrad)
        {
            var output = Output + ((((long)batch * Inputs.Queries) + query) * Inputs.ValueChannels) + (head * Inputs.ValueWidth);
            var product = 0f;
            for (var channel = 0; channel < Inputs.ValueWidth; channel++)
                product += output[channel] * outputGrad[channel];
            var mean = TSimd.Broadcast(product);
            var logSumExp = TSimd.Broadcast(LogSumExp[((((long)batch * Inputs.Heads) + head) * Inputs.Queries) + query]);
            var probabilities = _probabilities + ((long)row * Tiles.Columns);
            var grads = _scoreGrads + ((long)row * Tiles.Columns);
            AttentionBias<TVector, TSimd>.Add(Inputs, batch, head, query, probabilities);
            for (var column = 0; column < Tiles.Columns; column += TSimd.Width)
            {
                var probability = TSimd.Exp(TSimd.Subtract(TSimd.Load(probabilities + column), logSumExp));
                TSimd.Store(probability, probabilities + column);
                TSimd.Store(TSimd.Multiply(probability, TSimd.Subtract(TSimd.Load(grads + column), mean)), grads + column);
            }
            if (BiasGrad != null)
                AddBiasGrad(BiasGrad + Inputs.BiasLayout.At(batch, head, query), grads);
            if (BoxBiasGrad.IsPresent)
                WriteBoxBiasGrad(batch, head, query, grads);
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void WriteBoxBiasGrad(int batch, int head, int query, float* grads)
        {
            var (columnCount, rowCount, heads) = (Inputs.BoxBias.ColumnCount, Inputs.BoxBias.RowCount, Inputs.Heads);
            var row = ((long)batch * Inputs.Queries) + query;
            var columns = BoxBiasGrad.Columns + (row * columnCount * heads) + head;
            var rows = BoxBiasGrad.Rows + (row * rowCount * heads) + head;
            var ofColumns = stackalloc float[columnCount];
            new Span<float>(ofColumns, columnCount).Clear();
            for (var y = 0; y < rowCount; y++, grads += columnCount)
            {
                var sum = default(TVector);
                for (var x = 0; x < columnCount; x += TSimd.Width)
                {
                    var rest = columnCount - x;
                    var grad = Lanes<TVector, TSimd>.Load(grads + x, rest);
                    sum = TSimd.Add(sum, grad);
                    Lanes<TVector, TSimd>.Store(TSimd.Add(Lanes<TVector, TSimd>.Load(ofColumns + x, rest), grad), ofColumns + x, rest);
                }
                rows[(long)y * heads] = TSimd.Sum(sum);
            }
            for (var x = 0; x < columnCount; x++)
                columns[(long)x * heads] = ofColumns[x];
        }

        private readonly void AddBiasGrad(float* target, float* grads)
        {
            for (var key = 0; key < Inputs.Keys; key++)
                target[key * Inputs.BiasLayout.Key] += grads[key];
        }

        /// <summary>target [keys, width] += weights^T [keys, queries] rows [queries, width].</summary>
        private readonly void AddTransposed(float* weights, float* rows, int stride, float* target, int width, int first, int count)
        {
            var product = TileProduct<float, TVector, TSimd>.Of(weights, 1, rows, stride, target, stride, count);
            product.AStep = Tiles.Columns;
            product.Accumulate = first > 0;
            product.Run(AttentionTiles.PadRows(Inputs.Keys), Tiles.PaddedWidth(width));
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Scale(float* rows, int count)
        {
            var factor = TSimd.Broadcast(Inputs.Scale);
            for (long i = 0; i < (long)count * Tiles.QueryRow; i += TSimd.Width)
                TSimd.Store(TSimd.Multiply(TSimd.Load(rows + i), factor), rows + i);
        }
    }
}
