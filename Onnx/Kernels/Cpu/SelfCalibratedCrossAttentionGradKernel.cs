using System.Runtime.CompilerServices;

namespace Microsoft.ML.Attention.Onnx.Kernels.Cpu;

/// <summary>
/// The gradient of self-calibrated cross attention on the CPU. An item of work is one head of all windows that attend to the same element
/// of the support, so the result does not depend on the number of threads.
/// </summary>
internal sealed unsafe class SelfCalibratedCrossAttentionGradKernel<TVector, TSimd>(KernelAttributes attributes) : IKernel
    where TVector : unmanaged
    where TSimd : ISimd<float, TVector>
{
    private readonly int _heads = attributes.PositiveInt("num_heads");

    public void Compute(KernelContext context)
    {
        var inputs = SelfCalibratedInputs<float>.Read(context, 1, _heads);
        inputs.CheckIndex();
        var (batch, windows, length) = (inputs.Batch, inputs.Windows, inputs.Length);
        var work = new Work
        {
            Inputs = inputs,
            Window = new(inputs),
            OutputGrad = context.Input(0).Expect("[N, W, L, C]", batch, windows, length, inputs.Channels).Data<float>(),
            Output = context.Input(4).Expect("[N, W, L, C]", batch, windows, length, inputs.Channels).Data<float>(),
            LogSumExp = context.Input(5).Expect("[N, W, heads, L]", batch, windows, inputs.Heads, length).Data<float>(),
            PackedGrad = new(context.Output<float>(0, batch, windows, length, 3 * inputs.Channels), 3 * inputs.Channels),
            SupportGrad = new(
                context.Output<float>(1, inputs.SupportBatch, inputs.SupportWindows, inputs.SupportLength, 2 * inputs.Channels),
                2 * inputs.Channels),
        };
        context.ParallelFor(work, inputs.SupportBatch * inputs.Heads);
    }

    public void Dispose()
    {
    }

    private struct Work : IParallelWork
    {
        public SelfCalibratedInputs<float> Inputs;
        public SelfCalibratedWindow<TVector, TSimd> Window;
        public float* OutputGrad;
        public float* Output;
        public float* LogSumExp;
        public AttentionRows<float> PackedGrad;
        public AttentionRows<float> SupportGrad;

        private float* _keyRows;
        private float* _valuePanels;
        private float* _outputGradRows;
        private float* _queryGradRows;
        private float* _keyGradRows;
        private float* _valueGradRows;
        private float* _probabilities;
        private float* _scoreGrads;
        private float* _columnSums;

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public readonly void Run(int index)
        {
            var work = this;
            work.Lay(ThreadScratch.Get(work.Lay(null)));
            var (element, head) = (index / Inputs.Heads, index % Inputs.Heads);
            work.ClearSupportGrad(element, head);
            for (var batch = element; batch < Inputs.Batch; batch += Inputs.SupportBatch)
            {
                for (var window = 0; window < Inputs.Windows; window++)
                    work.Differentiate(((long)batch * Inputs.Windows) + window, head);
            }
        }

        private long Lay(void* memory)
        {
            var partition = new Partition(memory);
            Window.Lay(ref partition);
            var (queries, keys) = (AttentionTiles.PadRows(Inputs.Length), AttentionTiles.PadRows(Window.Columns));
            _keyRows = partition.Take<float>((long)keys * Window.Tiles.QueryRow);
            _valuePanels = partition.Take<float>((long)Inputs.Width * Window.Tiles.Columns);
            _outputGradRows = partition.Take<float>((long)queries * Window.Tiles.ValueRow);
            _queryGradRows = partition.Take<float>((long)queries * Window.Tiles.QueryRow);
            _keyGradRows = partition.Take<float>((long)keys * Window.Tiles.QueryRow);
            _valueGradRows = partition.Take<float>((long)keys * Window.Tiles.ValueRow);
            _probabilities = partition.Take<float>((long)Window.Tiles.Rows * Window.Tiles.Columns);
            _scoreGrads = partition.Take<float>((long)Window.Tiles.Rows * Window.Tiles.Columns);
            _columnSums = partition.Take<float>(Window.Tiles.Columns);
            return partition.Bytes;
        }

        private readonly void ClearSupportGrad(int element, int head)
        {
            var positions = Inputs.SupportWindows * Inputs.SupportLength;
            var rows = SupportGrad.At((long)element * positions) + (head * Inputs.Width);
            for (var position = 0; position < positions; position++, rows += SupportGrad.Stride)
            {
                new Span<float>(rows, Inputs.Width).Clear();
                new Span<float>(rows + Inputs.Channels, Inputs.Width).Clear();
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Differentiate(long window, int head)
        {
            var (tiles, length, width, channels) = (Window.Tiles, Inputs.Length, Inputs.Width, Inputs.Channels);
            var own = Inputs.Packed.At(window * length) + (head * width);
            var aligned = Inputs.Aligned(window) * Inputs.SupportLength;
            var support = Inputs.Support.At(aligned) + (head * width);
            Window.Load(window, head);
            Window.PackKeys(_valuePanels, own + (2 * channels), support + channels, 1);
            AttentionTiles.Copy(own + channels, Inputs.Packed.Stride, _keyRows, tiles.QueryRow, length, width);
            Scale(_keyRows, length);
            AttentionTiles.Copy(
                support, Inputs.Support.Stride, _keyRows + ((long)length * tiles.QueryRow), tiles.QueryRow, Inputs.SupportLength, width);
            AttentionTiles.Copy(
                OutputGrad + (window * length * channels) + (head * width), channels, _outputGradRows, tiles.ValueRow, length, width);
            new Span<float>(_columnSums, tiles.Columns).Clear();
            for (var first = 0; first < length; first += tiles.Rows)
                DifferentiateRows(window, head, first, Math.Min(tiles.Rows, length - first));

            Scale(_keyGradRows, length);
            var target = PackedGrad.At(window * length) + (head * width);
            AttentionTiles.Copy(_queryGradRows, tiles.QueryRow, target, PackedGrad.Stride, length, width);
            AttentionTiles.Copy(_keyGradRows, tiles.QueryRow, target + channels, PackedGrad.Stride, length, width);
            AttentionTiles.Copy(_valueGradRows, tiles.ValueRow, target + (2 * channels), PackedGrad.Stride, length, width);
            for (var key = 0; key < Inputs.SupportLength; key++)
                AddSupportGrad(SupportGrad.At(aligned + key) + (head * width), length + key);
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void DifferentiateRows(long window, int head, int first, int count)
        {
            var (tiles, width) = (Window.Tiles, Inputs.Width);
            var (columns, rows) = (tiles.Columns, AttentionTiles.PadRows(count));
            var query = Window.QueryRows + ((long)first * tiles.QueryRow);
            var queryGrad = _queryGradRows + ((long)first * tiles.QueryRow);
            var outputGrad = _outputGradRows + ((long)first * tiles.ValueRow);
            var output = Output + (((window * Inputs.Length) + first) * Inputs.Channels) + (head * width);
            var logSumExp = LogSumExp + (((window * Inputs.Heads) + head) * Inputs.Length) + first;
            var normGrads = stackalloc float[count];
            TileProduct<float, TVector, TSimd>.Of(
                query, tiles.QueryRow, Window.KeyPanels, columns, _probabilities, columns, width).Run(rows, columns);
            TileProduct<float, TVector, TSimd>.Of(
                outputGrad, tiles.ValueRow, _valuePanels, columns, _scoreGrads, columns, width).Run(rows, columns);
            for (var row = 0; row < count; row++)
            {
                var mean = 0f;
                for (var channel = 0; channel < width; channel++)
                    mean += output[((long)row * Inputs.Channels) + channel] * outputGrad[((long)row * tiles.ValueRow) + channel];
                normGrads[row] = SoftmaxGrad(row, Window.QueryNorms[first + row], mean, logSumExp[row]);
            }

            TileProduct<float, TVector, TSimd>.Of(
                _scoreGrads, columns, _keyRows, tiles.QueryRow, queryGrad, tiles.QueryRow, Window.Columns)
                .Run(rows, tiles.PaddedWidth(width));
            for (var row = 0; row < count; row++)
            {
                SubtractUnit(queryGrad + ((long)row * tiles.QueryRow), query + ((long)row * tiles.QueryRow),
                    normGrads[row], Window.QueryNorms[first + row]);
            }
            AddTransposed(_scoreGrads, query, tiles.QueryRow, _keyGradRows, first, count);
            AddTransposed(_probabilities, outputGrad, tiles.ValueRow, _valueGradRows, first, count);
        }

        /// <summary>
        /// Turns products into probabilities, and the gradients of the probabilities into those of the products. What the columns' norms
        /// take from the gradient is added up.
        /// </summary>
        /// <returns>What the query's norm takes from the gradient.</returns>
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly float SoftmaxGrad(int row, float queryNorm, float mean, float logSumExp)
        {
            var (norm, offset, total) = (TSimd.Broadcast(queryNorm), TSimd.Broadcast(logSumExp), TSimd.Broadcast(mean));
            var probabilities = _probabilities + ((long)row * Window.Tiles.Columns);
            var grads = _scoreGrads + ((long)row * Window.Tiles.Columns);
            var sum = default(TVector);
            for (var column = 0; column < Window.Tiles.Columns; column += TSimd.Width)
            {
                var denominators = Window.Denominators(norm, column);
                var score = TSimd.Divide(TSimd.Load(probabilities + column), denominators);
                var probability = TSimd.Exp(TSimd.Subtract(score, offset));
                TSimd.Store(probability, probabilities + column);
                var grad = TSimd.Multiply(probability, TSimd.Subtract(TSimd.Load(grads + column), total));
                grad = TSimd.Divide(grad, denominators);
                TSimd.Store(grad, grads + column);
                var fall = TSimd.Multiply(grad, score);
                sum = TSimd.MultiplyAdd(fall, TSimd.Load(Window.ColumnNorms + column), sum);
                TSimd.Store(TSimd.MultiplyAdd(fall, norm, TSimd.Load(_columnSums + column)), _columnSums + column);
            }
            return TSimd.Sum(sum);
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void AddSupportGrad(float* target, int column)
        {
            var key = _keyGradRows + ((long)column * Window.Tiles.QueryRow);
            var value = _valueGradRows + ((long)column * Window.Tiles.ValueRow);
            SubtractUnit(key, _keyRows + ((long)column * Window.Tiles.QueryRow), _columnSums[column], Window.ColumnNorms[column]);
            for (var channel = 0; channel < Inputs.Width; channel++)
            {
                target[channel] += key[channel];
                target[Inputs.Channels + channel] += value[channel];
            }
        }

        /// <summary>Subtracts a multiple of a row divided by its norm; of a row of zeros nothing.</summary>
        private readonly void SubtractUnit(float* target, float* row, float factor, float norm)
        {
            if (norm == 0)
                return;
            factor /= norm;
            for (var channel = 0; channel < Inputs.Width; channel++)
                target[channel] -= factor * row[channel];
        }

        /// <summary>target [keys, width] += weights^T [keys, queries] rows [queries, width].</summary>
        private readonly void AddTransposed(float* weights, float* rows, int stride, float* target, int first, int count)
        {
            var product = TileProduct<float, TVector, TSimd>.Of(weights, 1, rows, stride, target, stride, count);
            product.AStep = Window.Tiles.Columns;
            product.Accumulate = first > 0;
            product.Run(AttentionTiles.PadRows(Window.Columns), Window.Tiles.PaddedWidth(Inputs.Width));
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Scale(float* rows, int count)
        {
            var factor = TSimd.Broadcast(Inputs.Scale);
            for (long i = 0; i < (long)count * Window.Tiles.QueryRow; i += TSimd.Width)
                TSimd.Store(TSimd.Multiply(TSimd.Load(rows + i), factor), rows + i);
        }
    }
}
