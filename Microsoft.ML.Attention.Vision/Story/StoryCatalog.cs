using Microsoft.ML.Attention.Vision;
using Microsoft.ML.Data;

namespace Microsoft.ML;

/// <summary>Stories in pictures in an <see cref="MLContext"/>'s catalogs.</summary>
public static class StoryCatalog
{
    /// <summary>
    /// Makes pictures of the lines of stories, with the same characters in all of a story's pictures, by a text-to-image model that exists.
    /// For one story in code see <see cref="StoryGenerator"/>.
    /// </summary>
    /// <param name="catalog">The transforms catalog.</param>
    /// <param name="modelFolder">The folder of an exported model; see <see cref="StoryGenerator(MLContext, string, StoryOptions, Attention.ScoringOptions)"/>.</param>
    /// <param name="options">The columns and how stories are made.</param>
    public static StoryEstimator GenerateStory(this TransformsCatalog catalog, string modelFolder, StoryEstimator.Options? options = null) =>
        new(catalog.GetEnvironment(), modelFolder, options ?? new());
}
