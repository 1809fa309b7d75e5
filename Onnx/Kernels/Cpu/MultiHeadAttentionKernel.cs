using System.Runtime.CompilerServices;

namespace Microsoft.ML.Attention.Onnx.Kernels.Cpu;

/// <summary>
/// Multi-head attention on the CPU. An item of work takes some queries of one sequence: those of one head, or of short sequences those of
/// all heads, so that whole rows are copied.
/// </summary>
internal sealed unsafe class MultiHeadAttentionKernel<TVector, TSimd>(KernelAttributes attributes, AttentionForm form) : IKernel
    where TVector : unmanaged
    where TSimd : ISimd<float, TVector>
{
    private const int QueriesTogether = 64;
    private const int EnoughItems = 16;

    private readonly AttentionArguments _arguments = new(attributes, form);

    public void Compute(KernelContext context)
    {
        var inputs = _arguments.Read<float>(context, 0);
        var tiles = new AttentionTiles(inputs, TSimd.Width);
        var sequences = inputs.Batch * tiles.HeadGroups;
        var work = new Work
        {
            Inputs = inputs,
            Tiles = tiles,
            QueriesOfItem = sequences >= EnoughItems ? inputs.Queries : QueriesTogether,
            Output = context.Output<float>(0, inputs.Batch, inputs.Queries, inputs.ValueChannels),
            LogSumExp = context.Output<float>(1, inputs.Batch, inputs.Heads, inputs.Queries),
        };
        context.ParallelFor(work, sequences * work.Blocks);
    }

    public void Dispose()
    {
    }

    private struct Work : IParallelWork
    {
        public AttentionInputs<float> Inputs;
        public AttentionTiles Tiles;
        public int QueriesOfItem;
        public float* Output;
        public float* LogSumExp;

        private float* _keyPanels;
        private float* _valueRows;
        private float* _queryRows;
        private float* _scores;
        private float* _outputRows;

        public readonly int Blocks => (Inputs.Queries + QueriesOfItem - 1) / QueriesOfItem;

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public readonly void Run(int index)
        {
            var work = this;
            work.Lay(ThreadScratch.Get(work.Lay(null)));
            var (sequence, first) = (index / Blocks, index % Blocks * QueriesOfItem);
            var (batch, firstHead) = (sequence / Tiles.HeadGroups, sequence % Tiles.HeadGroups * Tiles.Heads);
            work.Attend(batch, firstHead, first, Math.Min(QueriesOfItem, Inputs.Queries - first));
        }

        private long Lay(void* memory)
        {
            var partition = new Partition(memory);
            _keyPanels = partition.Take<float>((long)Tiles.QueryChannels * Tiles.Columns);
            _valueRows = partition.Take<float>((long)Inputs.Keys * Tiles.ValueRow);
            _queryRows = partition.Take<float>((long)Tiles.Rows * Tiles.QueryRow);
            _scores = partition.Take<float>((long)Tiles.Rows * Tiles.Columns);
            _outputRows = partition.Take<float>((long)Tiles.Rows * Tiles.ValueRow);
            return partition.Bytes;
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Attend(int batch, int firstHead, int firstQuery, int count)
        {
            var (queryWidth, valueWidth) = (Inputs.QueryWidth, Inputs.ValueWidth);
            var (keyPosition, queryPosition) = ((long)batch * Inputs.Keys, ((long)batch * Inputs.Queries) + firstQuery);
            var (queryOffset, valueOffset) = (firstHead * queryWidth, firstHead * valueWidth);
            Tiles.PackPanels(
                Inputs.Key.At(keyPosition) + queryOffset, Inputs.Key.Stride, Tiles.QueryChannels, Inputs.Scale, _keyPanels);
            AttentionTiles.Copy(
                Inputs.Value.At(keyPosition) + valueOffset, Inputs.Value.Stride, _valueRows, Tiles.ValueRow, Inputs.Keys, Tiles.ValueChannels);
            for (var start = 0; start < count; start += Tiles.Rows)
            {
                var rows = Math.Min(Tiles.Rows, count - start);
                var paddedRows = AttentionTiles.PadRows(rows);
                AttentionTiles.Copy(
                    Inputs.Query.At(queryPosition + start) + queryOffset, Inputs.Query.Stride,
                    _queryRows, Tiles.QueryRow, rows, Tiles.QueryChannels);
                // A vector of a head's results may reach into the next head's, which are written after it.
                for (var head = 0; head < Tiles.Heads; head++)
                {
                    TileProduct<float, TVector, TSimd>.Of(
                        _queryRows + (head * queryWidth), Tiles.QueryRow,
                        _keyPanels + ((long)head * queryWidth * Tiles.Columns), Tiles.Columns,
                        _scores, Tiles.Columns, queryWidth).Run(paddedRows, Tiles.Columns);
                    for (var row = 0; row < rows; row++)
                        Softmax(_scores + ((long)row * Tiles.Columns), batch, firstHead + head, firstQuery + start + row);
                    TileProduct<float, TVector, TSimd>.Of(
                        _scores, Tiles.Columns, _valueRows + (head * valueWidth), Tiles.ValueRow,
                        _outputRows + (head * valueWidth), Tiles.ValueRow, Inputs.Keys).Run(paddedRows, Tiles.PaddedWidth(valueWidth));
                }
                AttentionTiles.Copy(
                    _outputRows, Tiles.ValueRow, Output + ((queryPosition + start) * Inputs.ValueChannels) + valueOffset,
                    Inputs.ValueChannels, rows, Tiles.ValueChannels);
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Softmax(float* scores, int batch, int head, int query)
        {
            AttentionBias<TVector, TSimd>.Add(Inputs, batch, head, query, scores);
            var logSumExp = AttentionSoftmax<TVector, TSimd>.Apply(scores, Inputs.Keys, Tiles.Columns);
            if (LogSumExp != null)
                LogSumExp[((((long)batch * Inputs.Heads) + head) * Inputs.Queries) + query] = logSumExp;
        }
    }
}
