using Microsoft.ML.Data;
using Microsoft.ML.Transforms.Image;

namespace Microsoft.ML.Attention.Vision.Pixels;

/// <summary>
/// A column of pictures, as paths of files (text), contents of files (vectors of <see cref="byte"/>) or <see cref="MLImage"/>s.
/// </summary>
internal sealed class PictureColumn
{
    private readonly DataViewSchema.Column _column;
    private readonly string? _folder;

    /// <param name="schema">The schema that has the column.</param>
    /// <param name="name">The column's name.</param>
    /// <param name="folder">What paths are relative to; null for the current folder.</param>
    /// <exception cref="InvalidOperationException">There is no such column, or it holds no pictures.</exception>
    public PictureColumn(DataViewSchema schema, string name, string? folder)
    {
        _folder = folder;
        _column = schema.GetColumnOrNull(name) ?? throw new InvalidOperationException(
            $"There is no image column '{name}'; the data has {string.Join(", ", schema.Select(column => $"'{column.Name}'"))}.");
        if (!HoldsPictures(_column.Type))
        {
            throw new InvalidOperationException($"Image column '{name}' is of type {_column.Type}; it must be text (paths of files), "
                + $"vectors of {nameof(Byte)} (contents of files) or {nameof(MLImage)}s.");
        }
    }

    public DataViewSchema.Column Column => _column;

    /// <summary>Whether the pictures come decoded, so that there is little left to do for other threads.</summary>
    public bool IsDecoded => _column.Type is ImageDataViewType;

    public static bool HoldsPictures(DataViewType type) =>
        type is TextDataViewType or ImageDataViewType
        || (type is VectorDataViewType { ItemType: NumberDataViewType { RawType: var item } } && item == typeof(byte));

    /// <summary>Takes pictures from a row that moves on between calls.</summary>
    public Func<Picture> CreateGetter(DataViewRow row) => _column.Type switch
    {
        TextDataViewType => PathGetter(row),
        ImageDataViewType => ImageGetter(row),
        _ => ContentGetter(row),
    };

    private Func<Picture> PathGetter(DataViewRow row)
    {
        var getter = row.GetGetter<ReadOnlyMemory<char>>(_column);
        ReadOnlyMemory<char> path = default;
        return () =>
        {
            getter(ref path);
            var name = path.ToString();
            return new FilePicture(_column.Name, _folder is null || name.Length == 0 ? name : Path.Combine(_folder, name));
        };
    }

    private Func<Picture> ContentGetter(DataViewRow row)
    {
        var getter = row.GetGetter<VBuffer<byte>>(_column);
        VBuffer<byte> content = default;
        return () =>
        {
            getter(ref content);
            return new EncodedPicture(_column.Name, content.DenseValues().ToArray());
        };
    }

    private Func<Picture> ImageGetter(DataViewRow row)
    {
        var getter = row.GetGetter<MLImage?>(_column);
        MLImage? image = null;
        return () =>
        {
            getter(ref image);
            return image is not null
                ? new DecodedPicture(image)
                : throw new InvalidDataException($"image column '{_column.Name}': a missing value has no pixels");
        };
    }
}
