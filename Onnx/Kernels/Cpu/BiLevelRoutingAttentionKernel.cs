using System.Numerics;
using System.Runtime.CompilerServices;

namespace Microsoft.ML.Attention.Onnx.Kernels.Cpu;

/// <summary>
/// Bi-level routing attention on the CPU, a few images at a time in three parallel steps: means of the regions, with keys and values
/// laid out for products; routing; attention of each region and head.
/// </summary>
internal sealed unsafe class BiLevelRoutingAttentionKernel<T, TVector, TSimd>(KernelAttributes attributes) : IKernel
    where T : unmanaged, IBinaryFloatingPointIeee754<T>
    where TVector : unmanaged
    where TSimd : ISimd<T, TVector>
{
    /// <summary>Regions that are worked on together: enough for all threads, few enough for the caches.</summary>
    private const int RegionsTogether = 64;

    private readonly BiLevelRouting _routing = new(attributes);

    public void Compute(KernelContext context)
    {
        var sizes = _routing.Sizes(context, 0);
        var (height, width) = (sizes.Layout.Height, sizes.Layout.Width);
        var images = Math.Clamp(RegionsTogether / sizes.Layout.Count, 1, Math.Max(1, sizes.Batch));
        var call = new Call
        {
            Sizes = sizes,
            Panels = new RegionPanels(sizes.Layout.Tokens, TSimd.Width),
            Query = context.Input(0).Data<T>(),
            Key = context.Input(1).Data<T>(),
            Value = context.Input(2).Data<T>(),
            Output = context.Output<T>(0, sizes.Batch, height, width, sizes.ValueChannels),
            Routing = context.Output<long>(1, sizes.Batch, sizes.Layout.Count, sizes.TopK),
            LogSumExp = context.Output<float>(2, sizes.Batch, sizes.Heads, height, width),
        };
        using var memory = context.Allocate(call.Lay(null, images));
        call.Lay(memory.Data, images);
        for (call.FirstImage = 0; call.FirstImage < sizes.Batch; call.FirstImage += images)
        {
            var count = Math.Min(images, sizes.Batch - call.FirstImage);
            context.ParallelFor(new PackStep(call), count * sizes.Layout.Count);
            context.ParallelFor(new RouteStep(call), count * call.RouteBlocks);
            context.ParallelFor(new AttendStep(call), count * sizes.Heads * call.AttendBlocks);
        }
    }

    public void Dispose()
    {
    }

    /// <summary>Inputs, outputs and the memory between the steps. "Image" counts within the images that are worked on together.</summary>
    private struct Call
    {
        public BiLevelRoutingSizes Sizes;
        public RegionPanels Panels;
        public int FirstImage;
        public T* Query;
        public T* Key;
        public T* Value;
        public T* Output;
        public long* Routing;
        public float* LogSumExp;

        /// <summary>[image, R, Cq].</summary>
        public T* QueryMeans;

        /// <summary>[image, Cq, padded R].</summary>
        public T* KeyMeans;

        /// <summary>[image, R, top_k].</summary>
        public int* Selected;

        /// <summary>[image, head, R, d, columns], times the scale.</summary>
        public T* KeyPanels;

        /// <summary>[image, head, R, T, padded d].</summary>
        public T* ValueRows;

        public readonly int Regions => Sizes.Layout.Count;

        public readonly int PaddedRegions => RegionPanels.RoundUp(Regions, TSimd.Width);

        public readonly int RowsOfMeans => RegionPanels.RoundUp(Regions, TileProduct<T, TVector, TSimd>.RowUnit);

        /// <summary>Blocks of regions in the routing of an image.</summary>
        public readonly int RouteBlocks => RowsOfMeans / TileProduct<T, TVector, TSimd>.RowUnit;

        /// <summary>Regions that an item of the attention step takes, so that small ones are worth an item.</summary>
        public readonly int RegionsPerItem => Math.Max(1, 64 / Sizes.Layout.Tokens);

        public readonly int AttendBlocks => (Regions + RegionsPerItem - 1) / RegionsPerItem;

        public readonly int PaddedValueWidth => Panels.PaddedWidth(Sizes.ValueWidth);

        public readonly long KeyPanelSize => (long)Sizes.QueryWidth * Panels.Columns;

        public readonly long ValueRowsSize => (long)Sizes.Layout.Tokens * PaddedValueWidth;

        public long Lay(void* memory, int images)
        {
            var partition = new Partition(memory);
            QueryMeans = partition.Take<T>((long)images * RowsOfMeans * Sizes.QueryChannels);
            KeyMeans = partition.Take<T>((long)images * Sizes.QueryChannels * PaddedRegions);
            Selected = partition.Take<int>((long)images * Regions * Sizes.TopK);
            KeyPanels = partition.Take<T>((long)images * Sizes.Heads * Regions * KeyPanelSize);
            ValueRows = partition.Take<T>((long)images * Sizes.Heads * Regions * ValueRowsSize);
            return partition.Bytes;
        }

        public readonly T* QueryOf(int image) => Query + ((FirstImage + image) * Sizes.Positions * Sizes.QueryChannels);

        public readonly T* KeyOf(int image) => Key + ((FirstImage + image) * Sizes.Positions * Sizes.QueryChannels);

        public readonly T* ValueOf(int image) => Value + ((FirstImage + image) * Sizes.Positions * Sizes.ValueChannels);

        public readonly T* QueryMeansOf(int image) => QueryMeans + ((long)image * RowsOfMeans * Sizes.QueryChannels);

        public readonly T* KeyMeansOf(int image) => KeyMeans + ((long)image * Sizes.QueryChannels * PaddedRegions);

        public readonly int* SelectedOf(int image, int region) => Selected + ((((long)image * Regions) + region) * Sizes.TopK);

        public readonly T* KeyPanelsOf(int image, int head) => KeyPanels + ((((long)image * Sizes.Heads) + head) * Regions * KeyPanelSize);

        public readonly T* ValueRowsOf(int image, int head) => ValueRows + ((((long)image * Sizes.Heads) + head) * Regions * ValueRowsSize);
    }

    /// <summary>One region of one image: its means, its keys as panels, its values as rows.</summary>
    private struct PackStep(in Call call) : IParallelWork
    {
        private Call _call = call;

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public readonly void Run(int index)
        {
            var sizes = _call.Sizes;
            var (image, regionIndex) = (index / _call.Regions, index % _call.Regions);
            var region = sizes.Layout[regionIndex];
            var keyMean = (T*)ThreadScratch.Get((long)sizes.QueryChannels * sizeof(T));
            Mean(_call.QueryOf(image), region, _call.QueryMeansOf(image) + ((long)regionIndex * sizes.QueryChannels));
            Mean(_call.KeyOf(image), region, keyMean);
            var keyMeans = _call.KeyMeansOf(image) + regionIndex;
            for (var channel = 0; channel < sizes.QueryChannels; channel++)
                keyMeans[(long)channel * _call.PaddedRegions] = keyMean[channel];

            var scale = T.CreateChecked(sizes.Scale);
            for (var head = 0; head < sizes.Heads; head++)
            {
                RegionPacking.PackPanel(
                    _call.KeyOf(image) + (head * sizes.QueryWidth), sizes.QueryChannels, sizes.QueryWidth, sizes.Layout, region,
                    _call.KeyPanelsOf(image, head) + (regionIndex * _call.KeyPanelSize), _call.Panels.Columns, scale);
                RegionPacking.PackTokens(
                    _call.ValueOf(image) + (head * sizes.ValueWidth), sizes.ValueChannels, sizes.ValueWidth, sizes.Layout, region,
                    _call.ValueRowsOf(image, head) + (regionIndex * _call.ValueRowsSize), _call.PaddedValueWidth);
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Mean(T* map, in Region region, T* mean)
        {
            var channels = _call.Sizes.QueryChannels;
            var factor = T.One / T.CreateChecked(region.Positions);
            var channel = 0;
            for (; channel + TSimd.Width <= channels; channel += TSimd.Width)
            {
                TVector sum = default;
                for (var row = 0; row < region.Height; row++)
                {
                    var source = map + (region.Place(row, 0) * channels) + channel;
                    for (var column = 0; column < region.Width; column++, source += channels)
                        sum = TSimd.Add(sum, TSimd.Load(source));
                }
                TSimd.Store(TSimd.Multiply(sum, TSimd.Broadcast(factor)), mean + channel);
            }
            for (; channel < channels; channel++)
            {
                var sum = T.Zero;
                for (var position = 0; position < region.Positions; position++)
                    sum += map[(region.Place(position) * channels) + channel];
                mean[channel] = sum * factor;
            }
        }
    }

    /// <summary>The regions that a few regions of one image attend to.</summary>
    private struct RouteStep(in Call call) : IParallelWork
    {
        private Call _call = call;

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public readonly void Run(int index)
        {
            const int Rows = TileProduct<T, TVector, TSimd>.RowUnit;
            var sizes = _call.Sizes;
            var (image, first) = (index / _call.RouteBlocks, index % _call.RouteBlocks * Rows);
            var padded = _call.PaddedRegions;
            var logits = (T*)ThreadScratch.Get(((long)Rows * padded + sizes.TopK) * sizeof(T));
            TileProduct<T, TVector, TSimd>.Of(
                _call.QueryMeansOf(image) + ((long)first * sizes.QueryChannels), sizes.QueryChannels,
                _call.KeyMeansOf(image), padded, logits, padded, sizes.QueryChannels).Run(Rows, padded);
            for (var row = 0; row < Math.Min(Rows, _call.Regions - first); row++)
            {
                var selected = _call.SelectedOf(image, first + row);
                TopSelection.Select(logits + (row * padded), _call.Regions, sizes.TopK, selected, logits + ((long)Rows * padded));
                if (_call.Routing == null)
                    continue;
                var routing = _call.Routing + ((((_call.FirstImage + image) * (long)_call.Regions) + first + row) * sizes.TopK);
                for (var i = 0; i < sizes.TopK; i++)
                    routing[i] = selected[i];
            }
        }
    }

    /// <summary>One head of a few regions of one image.</summary>
    private struct AttendStep(in Call call) : IParallelWork
    {
        private Call _call = call;
        private T* _queryRows;
        private T* _repeated;
        private T* _scores;
        private T* _attended;
        private T* _sums;

        private readonly int Columns => _call.Panels.ScoreColumns(_call.Sizes.TopK);

        private readonly int RowsTogether => _call.Panels.RowsTogether(_call.Sizes.TopK);

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public void Run(int index)
        {
            var blocks = _call.AttendBlocks;
            var (image, head, first) = (index / blocks / _call.Sizes.Heads, index / blocks % _call.Sizes.Heads, index % blocks * _call.RegionsPerItem);
            var work = this;
            work.Lay(ThreadScratch.Get(work.Lay(null)));
            for (var region = first; region < Math.Min(first + _call.RegionsPerItem, _call.Regions); region++)
                work.Attend(image, head, region);
        }

        private long Lay(void* memory)
        {
            var partition = new Partition(memory);
            _queryRows = partition.Take<T>((long)RowsTogether * _call.Sizes.QueryWidth);
            _repeated = partition.Take<T>(RegionScores<T, TVector, TSimd>.ScratchSize(_call.Panels, RowsTogether, _call.Sizes.QueryWidth));
            _scores = partition.Take<T>((long)RowsTogether * Columns);
            _attended = partition.Take<T>((long)RowsTogether * _call.PaddedValueWidth);
            _sums = partition.Take<T>(RowsTogether);
            return partition.Bytes;
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Attend(int image, int head, int regionIndex)
        {
            var sizes = _call.Sizes;
            var region = sizes.Layout[regionIndex];
            var selected = _call.SelectedOf(image, regionIndex);
            var query = _call.QueryOf(image) + (head * sizes.QueryWidth);
            for (var first = 0; first < region.Positions; first += RowsTogether)
            {
                var count = Math.Min(RowsTogether, region.Positions - first);
                var rows = RegionPanels.RoundUp(count, _call.Panels.RowUnit);
                RegionPacking.PackPositions(
                    query, sizes.QueryChannels, sizes.QueryWidth, region, first, count, _call.Panels.RowUnit, _queryRows, sizes.QueryWidth);
                RegionScores<T, TVector, TSimd>.Compute(
                    _queryRows, sizes.QueryWidth, rows, sizes.QueryWidth, _call.KeyPanelsOf(image, head), _call.Panels,
                    selected, sizes.TopK, _scores, Columns, _repeated);
                Softmax(image, head, region, first, count);
                TileProduct<T, TVector, TSimd>.Of(
                        _scores, Columns, _call.ValueRowsOf(image, head), _call.PaddedValueWidth, _attended, _call.PaddedValueWidth, sizes.Layout.Tokens)
                    .Gather(selected, sizes.TopK, _call.Panels.Columns, (nint)_call.ValueRowsSize)
                    .Run(RegionPanels.RoundUp(count, TileProduct<T, TVector, TSimd>.RowUnit), _call.PaddedValueWidth);
                WriteOutput(image, head, region, first, count);
            }
        }

        /// <summary>Turns rows of scores into e^(score - largest score), and keeps their sums.</summary>
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Softmax(int image, int head, in Region region, int first, int count)
        {
            var (columns, panel, tokens) = (Columns, _call.Panels.Columns, _call.Sizes.Layout.Tokens);
            var used = _call.Sizes.TopK * panel;
            var logSumExp = _call.LogSumExp == null
                ? null : _call.LogSumExp + ((((long)(_call.FirstImage + image) * _call.Sizes.Heads) + head) * _call.Sizes.Positions);
            for (var row = 0; row < count; row++)
            {
                var scores = _scores + ((long)row * columns);
                new Span<T>(scores + used, columns - used).Fill(T.NegativeInfinity);
                for (var end = panel; tokens < panel && end <= used; end += panel)
                    new Span<T>(scores + end - panel + tokens, panel - tokens).Fill(T.NegativeInfinity);

                var max = TSimd.Load(scores);
                for (var column = TSimd.Width; column < columns; column += TSimd.Width)
                    max = TSimd.Max(max, TSimd.Load(scores + column));
                var largest = TSimd.MaxElement(max);
                var offset = TSimd.Broadcast(largest);
                TVector sum = default;
                for (var column = 0; column < columns; column += TSimd.Width)
                {
                    var exponential = TSimd.Exp(TSimd.Subtract(TSimd.Load(scores + column), offset));
                    TSimd.Store(exponential, scores + column);
                    sum = TSimd.Add(sum, exponential);
                }
                _sums[row] = TSimd.Sum(sum);
                if (logSumExp != null)
                    logSumExp[region.Place(first + row)] = float.CreateTruncating(largest + T.Log(_sums[row]));
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void WriteOutput(int image, int head, in Region region, int first, int count)
        {
            var sizes = _call.Sizes;
            var output = _call.Output + ((_call.FirstImage + image) * sizes.Positions * sizes.ValueChannels) + (head * sizes.ValueWidth);
            for (var row = 0; row < count; row++)
            {
                var source = _attended + ((long)row * _call.PaddedValueWidth);
                var target = output + (region.Place(first + row) * sizes.ValueChannels);
                var factor = T.One / _sums[row];
                var column = 0;
                for (; column + TSimd.Width <= sizes.ValueWidth; column += TSimd.Width)
                    TSimd.Store(TSimd.Multiply(TSimd.Load(source + column), TSimd.Broadcast(factor)), target + column);
                for (; column < sizes.ValueWidth; column++)
                    target[column] = source[column] * factor;
            }
        }
    }
}
