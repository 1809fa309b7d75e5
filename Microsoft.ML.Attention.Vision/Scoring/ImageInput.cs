using System.Buffers;
using System.Numerics.Tensors;
using System.Runtime.InteropServices;
using Microsoft.ML.Attention.Vision.Pixels;
using Microsoft.ML.Data;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Vision;

/// <summary>Feeds a model's input <c>[N, 3, H, W]</c> from a column of pictures: they are decoded and preprocessed in parallel.</summary>
internal sealed class ImageInput : TensorInput
{
    private readonly PictureColumn _pictures;
    private readonly ImagePreprocessing _preprocessing;

    /// <exception cref="InvalidOperationException">The model's input does not take what the preprocessing makes.</exception>
    public ImageInput(TensorDescription input, PictureColumn pictures, ImagePreprocessing preprocessing)
        : base(input.Name, input.ElementType, [3, preprocessing.Height, preprocessing.Width], pictures.Column.Index)
    {
        var rowShape = input.RowShape.ToArray();
        var fits = rowShape.Length == RowShape.Length && rowShape.Zip(RowShape).All(size => size.First < 0 || size.First == size.Second);
        if (!fits || input.ElementType is not (TensorElementType.Float or TensorElementType.Float16))
        {
            throw new InvalidOperationException($"Input '{input.Name}' of the model is {input.ElementType} {input.ShapeText}; "
                + $"the preprocessing makes Float [N, 3, {preprocessing.Height}, {preprocessing.Width}]: "
                + "set its height and width to the model's.");
        }
        (_pictures, _preprocessing) = (pictures, preprocessing);
    }

    public override TensorRowReader CreateReader(DataViewRow source, int capacity) =>
        _pictures.IsDecoded ? new DecodedReader(this, source) : new EncodedReader(this, source, capacity);

    private void Write(Picture picture, Span<byte> destination)
    {
        using var pixels = new PixelBuffer();
        picture.Decode(pixels);
        if (ElementType == TensorElementType.Float)
        {
            _preprocessing.Apply(pixels.View, MemoryMarshal.Cast<byte, float>(destination));
            return;
        }
        var values = ArrayPool<float>.Shared.Rent(_preprocessing.ValueCount);
        _preprocessing.Apply(pixels.View, values.AsSpan(0, _preprocessing.ValueCount));
        TensorPrimitives.ConvertToHalf(values.AsSpan(0, _preprocessing.ValueCount), MemoryMarshal.Cast<byte, Half>(destination));
        ArrayPool<float>.Shared.Return(values);
    }

    private sealed class EncodedReader(ImageInput input, DataViewRow source, int capacity) : TensorRowReader
    {
        private readonly Func<Picture> _getter = input._pictures.CreateGetter(source);
        private readonly Picture[] _taken = new Picture[capacity];

        public override bool Converts => true;

        public override void Read(int slot, Span<byte> destination) => _taken[slot] = _getter();

        public override void Convert(int slot, Span<byte> destination) => input.Write(_taken[slot], destination);
    }

    /// <summary>Decoded pictures are converted at once: keeping a batch of them would need their memory many times.</summary>
    private sealed class DecodedReader(ImageInput input, DataViewRow source) : TensorRowReader
    {
        private readonly Func<Picture> _getter = input._pictures.CreateGetter(source);

        public override void Read(int slot, Span<byte> destination) => input.Write(_getter(), destination);
    }
}
