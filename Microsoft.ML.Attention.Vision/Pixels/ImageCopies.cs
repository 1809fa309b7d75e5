using System.Runtime.CompilerServices;
using Microsoft.ML.Data;
using Microsoft.ML.Transforms.Image;

namespace Microsoft.ML.Attention.Vision.Pixels;

/// <summary>
/// Lets image columns pass the batching cursor, whose reading ahead would otherwise meet images that their loader has disposed of, and
/// properties of a row's class hold images.
/// </summary>
internal static class ImageCopies
{
#pragma warning disable CA2255 // No entry point of this assembly can tell whether an image column will pass some transformer later.
    [ModuleInitializer]
#pragma warning restore CA2255
    internal static void Register()
    {
        OwnedValues.Register<MLImage?>(Copy);
        // A property of a row's class holds pictures of any size where no [ImageType] says which.
        DataViewTypeManager.Register(new ImageDataViewType(), typeof(MLImage));
    }

    private static MLImage? Copy(MLImage? image)
    {
        if (image is null)
            return null;
        var copy = MLImage.CreateFromPixels(image.Width, image.Height, image.PixelFormat, image.Pixels);
        copy.Tag = image.Tag;
        return copy;
    }
}
