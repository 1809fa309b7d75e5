using System.Runtime.CompilerServices;

namespace Microsoft.ML.Attention.Onnx.Kernels.Cpu;

/// <summary>Efficient local attention: a block of channels of one image at a time, so that its map is still near when it is gated.</summary>
internal sealed unsafe class EfficientLocalAttentionKernel<TVector, TSimd>(KernelAttributes attributes) : IKernel
    where TVector : unmanaged
    where TSimd : ISimd<float, TVector>
{
    private readonly LocalAttention _attention = new(attributes);

    public void Compute(KernelContext context)
    {
        var sizes = _attention.Sizes(context, 0);
        var work = new Work
        {
            X = context.Input(0).Data<float>(),
            Y = context.Output<float>(0, sizes.Batch, sizes.Channels, sizes.Height, sizes.Width),
            Sizes = sizes,
            Strips = new(sizes, context.Input(1).Data<float>(), context.Input(2).Data<float>(), context.Input(3).Data<float>()),
        };
        context.ParallelFor(work, sizes.Batch * sizes.Blocks);
    }

    public void Dispose()
    {
    }

    private struct Work : IParallelWork
    {
        public float* X;
        public float* Y;
        public LocalAttentionSizes Sizes;
        public AttentionStrips<TVector, TSimd> Strips;

        public readonly void Run(int index)
        {
            var (_, bytes) = Scratch(null);
            var (scratch, _) = Scratch(ThreadScratch.Get(bytes));
            Strips.FillMasks(scratch.Masks);
            var first = index % Sizes.Blocks * Strips.BlockChannels;
            var start = (((long)(index / Sizes.Blocks) * Sizes.Channels) + first) * Sizes.PlaneSize;
            for (var channel = 0; channel < Strips.BlockChannels; channel++)
                Strips.Means(X + start + (channel * Sizes.PlaneSize), scratch.Masks, scratch.Means + ((long)channel * Strips.Pitch));
            Strips.Convolve(scratch.Means, first, scratch.Convolved);
            var gates = scratch.Means;
            Strips.Normalize(scratch.Convolved, scratch.Masks, gates, scratch.Inverses);
            Strips.Gates(gates, first, gates);
            for (var channel = 0; channel < Strips.BlockChannels; channel++)
            {
                var plane = start + (channel * Sizes.PlaneSize);
                Gate(X + plane, gates + ((long)channel * Strips.Pitch), Y + plane);
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Gate(float* x, float* gates, float* y)
        {
            var rows = gates + Strips.Rows;
            var columns = gates + Strips.Columns;
            var rest = Sizes.PlaneSize;
            for (var row = 0; row < Sizes.Height; row++, x += Sizes.Width, y += Sizes.Width, rest -= Sizes.Width)
            {
                var factor = TSimd.Broadcast(rows[row]);
                // Vectors reach into the next row, which is written after this one.
                for (var i = 0; i < Sizes.Width; i += TSimd.Width)
                {
                    var gate = TSimd.Multiply(TSimd.Load(columns + i), factor);
                    Lanes<TVector, TSimd>.Store(TSimd.Multiply(Lanes<TVector, TSimd>.Load(x + i, rest - i), gate), y + i, rest - i);
                }
            }
        }

        private readonly (Buffers Buffers, long Bytes) Scratch(void* memory)
        {
            var partition = new Partition(memory);
            var buffers = new Buffers
            {
                Masks = partition.Take<float>(Strips.MaskSize),
                Means = partition.Take<float>(Strips.BlockSize),
                Convolved = partition.Take<float>(Strips.BlockSize),
                Inverses = partition.Take<float>(2 * Strips.NormGroups),
            };
            return (buffers, partition.Bytes);
        }
    }

    private struct Buffers
    {
        public float* Masks;

        /// <summary>The means; later their gates.</summary>
        public float* Means;
        public float* Convolved;
        public float* Inverses;
    }
}
