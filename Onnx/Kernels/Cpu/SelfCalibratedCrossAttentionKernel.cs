using System.Runtime.CompilerServices;

namespace Microsoft.ML.Attention.Onnx.Kernels.Cpu;

/// <summary>Self-calibrated cross attention on the CPU. An item of work is one head of a window.</summary>
internal sealed unsafe class SelfCalibratedCrossAttentionKernel<TVector, TSimd>(KernelAttributes attributes) : IKernel
    where TVector : unmanaged
    where TSimd : ISimd<float, TVector>
{
    private readonly int _heads = attributes.PositiveInt("num_heads");

    public void Compute(KernelContext context)
    {
        var inputs = SelfCalibratedInputs<float>.Read(context, 0, _heads);
        inputs.CheckIndex();
        var work = new Work
        {
            Inputs = inputs,
            Window = new(inputs),
            Output = context.Output<float>(0, inputs.Batch, inputs.Windows, inputs.Length, inputs.Channels),
            LogSumExp = context.Output<float>(1, inputs.Batch, inputs.Windows, inputs.Heads, inputs.Length),
        };
        context.ParallelFor(work, inputs.Batch * inputs.Windows * inputs.Heads);
    }

    public void Dispose()
    {
    }

    private struct Work : IParallelWork
    {
        public SelfCalibratedInputs<float> Inputs;
        public SelfCalibratedWindow<TVector, TSimd> Window;
        public float* Output;
        public float* LogSumExp;

        private float* _scores;
        private float* _outputRows;

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public readonly void Run(int index)
        {
            var work = this;
            work.Lay(ThreadScratch.Get(work.Lay(null)));
            work.Attend(index / Inputs.Heads, index % Inputs.Heads);
        }

        private long Lay(void* memory)
        {
            var partition = new Partition(memory);
            Window.Lay(ref partition);
            _scores = partition.Take<float>((long)Window.Tiles.Rows * Window.Tiles.Columns);
            _outputRows = partition.Take<float>((long)Window.Tiles.Rows * Window.Tiles.ValueRow);
            return partition.Bytes;
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Attend(long window, int head)
        {
            var (tiles, width) = (Window.Tiles, Inputs.Width);
            Window.Load(window, head);
            for (var first = 0; first < Inputs.Length; first += tiles.Rows)
            {
                var rows = Math.Min(tiles.Rows, Inputs.Length - first);
                var paddedRows = AttentionTiles.PadRows(rows);
                TileProduct<float, TVector, TSimd>.Of(
                    Window.QueryRows + ((long)first * tiles.QueryRow), tiles.QueryRow, Window.KeyPanels, tiles.Columns,
                    _scores, tiles.Columns, width).Run(paddedRows, tiles.Columns);
                for (var row = 0; row < rows; row++)
                {
                    var scores = _scores + ((long)row * tiles.Columns);
                    Calibrate(scores, Window.QueryNorms[first + row]);
                    var logSumExp = AttentionSoftmax<TVector, TSimd>.Apply(scores, Window.Columns, tiles.Columns);
                    if (LogSumExp != null)
                        LogSumExp[(((window * Inputs.Heads) + head) * Inputs.Length) + first + row] = logSumExp;
                }
                TileProduct<float, TVector, TSimd>.Of(
                    _scores, tiles.Columns, Window.ValueRows, tiles.ValueRow, _outputRows, tiles.ValueRow, Window.Columns)
                    .Run(paddedRows, tiles.PaddedWidth(width));
                AttentionTiles.Copy(
                    _outputRows, tiles.ValueRow, Output + (((window * Inputs.Length) + first) * Inputs.Channels) + (head * width),
                    Inputs.Channels, rows, width);
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Calibrate(float* scores, float queryNorm)
        {
            var norm = TSimd.Broadcast(queryNorm);
            for (var column = 0; column < Window.Tiles.Columns; column += TSimd.Width)
                TSimd.Store(TSimd.Divide(TSimd.Load(scores + column), Window.Denominators(norm, column)), scores + column);
        }
    }
}
